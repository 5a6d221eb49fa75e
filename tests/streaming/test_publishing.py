"""The way from a stream to a server, against a server that says yes, says no, goes away, or listens to nothing."""

import base64
import hashlib
import io
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.streaming import publishing
from pocketvision.streaming.outputs import find_output
from pocketvision.streaming.pattern import draw, number_of
from pocketvision.streaming.publishing import LONGEST_SIDE, open_publisher
from pocketvision.streaming.reader import BackOff

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

QUICK = BackOff(enabled=True, first_delay=0.01, longest_delay=0.05)


@dataclass
class ReceivedFrames:
    """What a server was sent."""

    headers: list[Any] = field(default_factory=list)
    frames: list[tuple[Any, bytes]] = field(default_factory=list)
    refused: HTTPStatus | None = None
    confirms: bool = True
    port: int = 0


@contextmanager
def server(received: ReceivedFrames) -> Iterator[Server]:
    """A server on loopback that takes frames as `pocketvision serve` does, while the block lasts."""

    def take(connection: ServerConnection) -> None:
        assert connection.request is not None
        received.headers.append((connection.request.path, connection.request.headers))
        try:
            while True:
                answer, picture = connection.recv(), connection.recv()
                assert isinstance(picture, bytes)
                received.frames.append((json.loads(answer), picture))
                if received.confirms:
                    connection.send('{"type": "taken"}')
        except ConnectionClosed:
            pass

    def answer(connection: ServerConnection, _: Any) -> Any:
        return (
            None if received.refused is None else connection.respond(received.refused, '{"detail": "No, thank you."}')
        )

    with serve(take, "127.0.0.1", received.port, process_request=answer, max_size=None, compression=None) as running:
        received.port = running.socket.getsockname()[1]
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
    thread.join(10)


def until(true: Callable[[], Any]) -> None:
    ends = time.monotonic() + 15
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


def url(received: ReceivedFrames) -> str:
    return f"http://127.0.0.1:{received.port}/cameras/live/door"


def test_frames_come_with_their_answers_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETVISION_API_KEY", "secret")
    with server(received := ReceivedFrames()), open_publisher(url(received)) as publisher:
        for number in range(5):
            publisher.write(draw(number), float(number), json.dumps({"frame": number}))
            until(lambda: len(received.frames) > number)  # noqa: B023
    assert [answer["frame"] for answer, _ in received.frames] == list(range(5))
    for answer, picture in received.frames:
        assert number_of(np.asarray(Image.open(io.BytesIO(picture)))) == answer["frame"]
    ((path, headers),) = received.headers
    assert (path, headers["authorization"]) == ("/cameras/live/door/publish", "Bearer secret")
    assert publisher.dropped == 0


def test_the_last_frame_is_shown_before_the_end() -> None:
    with server(received := ReceivedFrames()):
        with open_publisher(url(received)) as publisher:
            for number in range(200):
                publisher.write(draw(number), 0.0, json.dumps({"frame": number}))
        assert received.frames[-1][0]["frame"] == 199
        assert publisher.dropped == 200 - len(received.frames)  # the newest took the place of those before


def test_a_server_that_is_away_is_waited_for_and_nothing_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    """It is not there at first, comes, goes, and comes again; what is written meanwhile returns at once and is counted."""
    with server(received := ReceivedFrames()):
        pass  # to learn a free port
    with caplog.at_level(logging.WARNING), open_publisher(url(received), QUICK) as publisher:
        for number in range(20):
            publisher.write(draw(number), 0.0, json.dumps({"frame": number}))
        for again in range(3):
            # It comes back only after it was missed, and goes only after the publisher knows it is back: both are logged.
            until(lambda: publisher.write(draw(7), 0.0, "{}") or publisher._away)
            with server(received) as running:
                until(lambda: publisher.write(draw(7), 0.0, "{}") or not publisher._away)
                if again == 1:
                    received.refused = HTTPStatus.FORBIDDEN  # also a refusal is waited out, after a yes
                running.shutdown()
            if again == 1:
                with server(received):
                    for _ in range(20):
                        publisher.write(draw(7), 0.0, "{}")
                        time.sleep(0.002)
                    publisher.check()
                received.refused = None
            for _ in range(20):
                publisher.write(draw(7), 0.0, "{}")
                time.sleep(0.002)
        until(lambda: publisher.write(draw(7), 0.0, "{}") or publisher._away)
    assert publisher.dropped >= 20
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("pocketvision")]
    assert sum("not published until the server is back" in line for line in lines) == 4
    assert sum("the server is back" in line and "until" not in line for line in lines) == 3
    assert len(lines) == 7  # not one for every frame or try


def test_a_frame_that_finds_its_connection_lost_goes_over_a_new_one() -> None:
    """A slow source would lose every frame otherwise, where a connection does not live from one to the next."""
    with server(received := ReceivedFrames()):
        with open_publisher(url(received), QUICK) as publisher:
            # Only a connection that is known to have worked is worth to be replaced at once.
            until(lambda: publisher.write(draw(1), 0.0, '{"frame": 1}') or publisher._proved)
            assert publisher._connection is not None
            publisher._connection.socket.shutdown(socket.SHUT_RDWR)
            publisher.write(draw(2), 0.0, '{"frame": 2}')
            until(lambda: received.frames[-1][0] == {"frame": 2})
        assert len(received.headers) == 2


def test_a_refusal_at_first_ends_the_stream_with_what_the_server_says() -> None:
    received = ReceivedFrames(refused=HTTPStatus.UNAUTHORIZED)
    with server(received), pytest.raises(UsageError, match="No, thank you"), open_publisher(url(received)) as publisher:
        until(lambda: publisher.write(draw(0), 0.0, "{}"))  # raises as soon as it is known
    with server(received), pytest.raises(UsageError, match="No, thank you"), open_publisher(url(received)) as publisher:
        publisher.write(draw(0), 0.0, "{}")  # the only frame: known when the stream ends


def test_a_busy_server_is_no_refusal() -> None:
    received = ReceivedFrames(refused=HTTPStatus.TOO_MANY_REQUESTS)
    with server(received), open_publisher(url(received), QUICK) as publisher:
        publisher.write(draw(0), 0.0, "{}")
        until(lambda: publisher._failures > 1 or publisher.write(draw(0), 0.0, "{}"))
        received.refused = None
        until(lambda: publisher.write(draw(1), 0.0, "{}") or received.frames)


def test_a_server_that_is_none_of_ours_is_reported() -> None:
    def strange(listener: socket.socket) -> None:
        with listener.accept()[0] as client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=strange, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/live/door"
        said = pytest.raises(UsageError, match=r"answered 404; is it a `pocketvision serve --live`")
        with said, open_publisher(address) as publisher:
            publisher.write(draw(0), 0.0, "{}")


def test_an_address_that_leads_elsewhere_is_reported() -> None:
    to = "https://vision.example.org/live/door/publish"

    def leading(listener: socket.socket) -> None:
        while True:
            with listener.accept()[0] as client:
                client.recv(4096)
                client.sendall(
                    f"HTTP/1.1 308 Permanent Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()
                )

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=leading, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/live/door"
        with pytest.raises(UsageError, match="leads to https://vision"), open_publisher(address) as publisher:
            until(lambda: publisher.write(draw(0), 0.0, "{}"))


def test_a_server_that_confirms_nothing_gets_no_more_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be old when it shows them. It counts as away when it stays silent."""
    monkeypatch.setattr(publishing, "CONFIRM_TIMEOUT", 1.0)
    monkeypatch.setattr(publishing, "CLOSE_TIMEOUT", 0.1)
    received = ReceivedFrames(confirms=False)
    with server(received), open_publisher(url(received), QUICK) as publisher:
        until(lambda: publisher.write(draw(0), 0.0, "{}") or len(received.frames) == publishing.IN_FLIGHT)
        for _ in range(50):
            publisher.write(draw(0), 0.0, "{}")
        assert len(received.frames) == publishing.IN_FLIGHT
        until(lambda: len(received.headers) > 1 or publisher.write(draw(0), 0.0, "{}"))
    assert publisher.dropped == publisher._written


def test_a_server_that_reads_nothing_is_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It takes connections and reads nothing more: neither the stream nor the publishing thread waits for it."""
    monkeypatch.setattr(publishing, "CONFIRM_TIMEOUT", 1.0)
    monkeypatch.setattr(publishing, "CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr(publishing, "OPEN_TIMEOUT", 0.5)
    monkeypatch.setattr(publishing, "jpeg", lambda _: bytes(50_000_000))
    unresponsive = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def handshake() -> None:
        while True:
            try:
                client = unresponsive.accept()[0]
            except OSError:
                return
            accepted.append(client)
            key = next(
                line for line in client.recv(4096).split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
            )
            token = base64.b64encode(
                hashlib.sha1(key.split(b": ")[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            )
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                b"sec-websocket-accept: " + token + b"\r\n\r\n"
            )

    threading.Thread(target=handshake, daemon=True).start()
    with unresponsive, caplog.at_level(logging.WARNING):
        with open_publisher(f"http://127.0.0.1:{unresponsive.getsockname()[1]}/live/door", QUICK) as publisher:
            until(lambda: publisher.write(draw(0), 0.0, "{}") or len(accepted) > 1)
        assert publisher.dropped == publisher._written
    for client in accepted:
        client.close()


@pytest.mark.parametrize(
    "text",
    [
        "http://host/door",
        "http://host/live/",
        "http://host/live/a.b",
        "https://me:secret@host/live/door",
        "http://host/live/door?key=secret",
        "http://host:99999/live/door",
        "http://host:x/live/door",
        "http:///live/door",
    ],
)
def test_an_address_that_is_none_says_what_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match="live/NAME") as refused, find_output(text).open(text, print):
        pass
    assert "secret" not in str(refused.value)


def test_without_websockets_the_install_line_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with (
        pytest.raises(MissingExtraError, match=r'pip install "pocketvision\[stream\]"'),
        open_publisher("http://h/live/a"),
    ):
        pass


def test_the_largest_pictures_fit_into_what_a_server_takes() -> None:
    """Noise is the hardest that there is to compress."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    assert LONGEST_SIDE == 8 * 240
    assert len(publishing.jpeg(np.tile(noise, (8, 8, 1)))) < 4 * 1024 * 1024
    tall = Image.open(io.BytesIO(publishing.jpeg(np.zeros((4000, 2000, 3), dtype=np.uint8))))
    assert tall.size == (960, 1920)
