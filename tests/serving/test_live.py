"""Live streams: in from a publisher, out as MJPEG and over WebSockets; who may; bounds; ends."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from live_server import LiveServer, jpeg_of, live_server, number_in, parts_of, send_frame, socket_to, until
from served import memory
from starlette.testclient import WebSocketDenialResponse
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.serving.keys import new_key
from pocketvision.serving.live import LiveSettings
from pocketvision.serving.settings import ServerSettings
from pocketvision.workflows.serve import serve

PLAIN = b"GET /live/door.mjpeg HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
UPGRADE = (
    b"GET /live/door HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: aaaaaaaaaaaaaaaaaaaaaa==\r\n\r\n"
)


@pytest.fixture
def server(tiny_bundle: Bundle) -> Iterator[LiveServer]:
    with live_server(tiny_bundle) as running:
        yield running


def test_who_speaks_http_1_0_is_sent_no_chunks(server: LiveServer) -> None:
    with server.publisher() as publisher, socket.create_connection(("127.0.0.1", server.port), timeout=20) as viewer:
        send_frame(publisher, 100)
        viewer.sendall(PLAIN.replace(b"1.1", b"1.0"))
        heard = b""
        while b"\xff\xd9" not in heard:
            heard += viewer.recv(65536)
        head, _, body = heard.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"transfer-encoding" not in head
        boundary = re.search(rb"boundary=(\S+)", head)
        assert boundary is not None
        assert body.startswith(b"--" + boundary[1] + b"\r\n")


def watched(server: LiveServer, numbers: list[int]) -> list[tuple[dict[str, str], bytes]]:
    """What a viewer of the MJPEG stream is shown while these frames are published, each when the one before was seen."""
    seen = []
    with server.publisher() as publisher, httpx.Client() as client:
        send_frame(publisher, numbers[0])
        with client.stream("GET", f"{server.url}/live/door.mjpeg") as answer:
            assert answer.status_code == 200
            kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
            assert kind == "multipart/x-mixed-replace"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert answer.headers["x-content-type-options"] == "nosniff"
            parts = parts_of(answer.iter_raw(), boundary)
            for number in numbers[1:]:
                seen.append(next(parts))
                send_frame(publisher, number)
            seen.append(next(parts))
    return seen


def test_a_browser_s_picture_shows_every_frame_as_soon_as_it_is_there(server: LiveServer) -> None:
    numbers = [10, 200, 30, 90]
    seen = watched(server, numbers)
    assert [round(number_in(picture), -1) for _, picture in seen] == numbers
    assert [headers["Content-Type"] for headers, _ in seen] == ["image/jpeg"] * 4
    assert [headers["X-Frame"] for headers, _ in seen] == ["1", "2", "3", "4"]


def test_a_websocket_gets_each_answer_with_its_picture(server: LiveServer) -> None:
    with server.publisher() as publisher:
        assert send_frame(publisher, 50) == {"type": "taken", "frame": 1}
        with server.viewer(origin=server.url) as viewer:
            for number in (50, 100, 150):
                answer = json.loads(viewer.recv(timeout=10))
                picture = viewer.recv(timeout=10)
                assert isinstance(picture, bytes)
                assert (answer["frame"], round(number_in(picture), -1)) == (number, number)
                viewer.send(b"what a viewer says in binary is not listened to")
                send_frame(publisher, number + 50)
            (stream,) = server.streams()
            assert (stream["name"], stream["viewers"], stream["frames"], stream["publishing"]) == ("door", 1, 4, True)
    until(lambda: server.streams()[0]["viewers"] == 0)
    metrics = httpx.get(f"{server.url}/metrics").text
    assert "pocketvision_live_frames_total 4.0" in metrics
    assert "pocketvision_live_viewers 0.0" in metrics


def test_a_viewer_s_options_reach_the_publisher(server: LiveServer) -> None:
    with server.publisher() as publisher, server.viewer(origin=server.url) as viewer:
        assert send_frame(publisher, 50)["type"] == "taken"
        assert viewer.recv(timeout=10) and viewer.recv(timeout=10)
        asked = {"type": "options", "tasks": ["detection"], "details": {"detection": {"min_score": 0.4}}}
        viewer.send(json.dumps(asked))
        for wrong, said in (
            ({"type": "options", "tusks": []}, "did you mean tasks?"),
            ({"type": "options", "details": {"detection": {"min_score": 2}}}, "a number from 0 to 1"),
            ({"type": "option"}, "must be options"),
            ({"type": "options", "tasks": ["x" * 3000]}, "2048"),
        ):
            viewer.send(json.dumps(wrong))
            error = json.loads(viewer.recv(timeout=10))
            assert error["type"] == "error" and said in error["detail"]
        assert send_frame(publisher, 100) == asked, "the last good ones"
        assert json.loads(publisher.recv(timeout=10))["type"] == "taken"
        assert send_frame(publisher, 150)["type"] == "taken", "once"


def test_a_viewer_that_was_away_gets_the_newest_frame(server: LiveServer) -> None:
    """What it missed is counted and gone: the stream keeps one frame, however many were published."""
    with server.publisher() as publisher:
        send_frame(publisher, 10)
        with server.viewer() as viewer:
            assert json.loads(viewer.recv(timeout=10))["frame"] == 10
            viewer.recv(timeout=10)
            large = jpeg_of(20) + bytes(1_000_000)
            for _ in range(60):
                send_frame(publisher, 20, large)
            send_frame(publisher, 99)
            numbers = []
            while numbers[-1:] != [99]:
                numbers.append(json.loads(viewer.recv(timeout=10))["frame"])
                viewer.recv(timeout=10)
        assert len(numbers) < 40  # what the network and the client's own queue hold
        skipped = re.search(r"live_skipped_total (\d+)", httpx.get(f"{server.url}/metrics").text)
        assert skipped is not None
        assert int(skipped[1]) == 61 - len(numbers)


def test_who_reads_nothing_holds_no_memory_and_nobody_else(start) -> None:  # type: ignore[no-untyped-def]
    running = start("--live")
    server, large = LiveServer(running.port, None), jpeg_of(77, (2000, 2000)) + bytes(1_000_000)  # type: ignore[arg-type]
    with server.publisher() as publisher:
        send_frame(publisher, 77, large)
        stalled = []
        for number in range(16):
            rude = socket.create_connection(("127.0.0.1", running.port))
            rude.sendall(PLAIN if number % 2 else UPGRADE)
            stalled.append(rude)
        until(lambda: server.streams()[0]["viewers"] == 16)
        for _ in range(10):
            send_frame(publisher, 77, large)
        before = memory(running.process.pid)
        with server.viewer() as viewer:
            for number in range(100):
                send_frame(publisher, number, large)
                while json.loads(viewer.recv(timeout=10))["frame"] != number:
                    viewer.recv(timeout=10)
                viewer.recv(timeout=10)
        assert memory(running.process.pid) - before < 30 * 1024  # of 100 MB for each of 17 viewers
        for rude in stalled:
            rude.close()


def test_who_reads_nothing_is_cut_off(tiny_bundle: Bundle) -> None:
    """Although the client keeps its end open; both kinds of viewer."""
    with live_server(tiny_bundle, write_timeout=0.2) as server, server.publisher() as publisher:
        large = jpeg_of(77) + bytes(3_000_000)
        send_frame(publisher, 77, large)
        plain = socket.create_connection(("127.0.0.1", server.port))
        plain.sendall(PLAIN)
        rude = socket.create_connection(("127.0.0.1", server.port))
        rude.sendall(UPGRADE)
        until(lambda: server.streams()[0]["viewers"] == 2)

        def gone() -> bool:
            send_frame(publisher, 77, large)
            return bool(server.streams()[0]["viewers"] == 0)

        until(gone)
        plain.close()
        rude.close()


def test_viewers_wait_for_a_publisher_that_comes_back(server: LiveServer) -> None:
    with (
        httpx.Client() as client,
        server.publisher() as first,
        client.stream("GET", shown_by(server, first)) as answer,
        server.viewer() as viewer,
    ):
        parts = parts_of(answer.iter_raw(), "pocketvision-frame")
        next(parts)
        viewer.recv(timeout=10)
        viewer.recv(timeout=10)
        first.socket.close()  # it dies, without a word
        until(lambda: not server.streams()[0]["publishing"])
        with server.publisher() as second:
            send_frame(second, 200)
            assert round(number_in(next(parts)[1]), -1) == 200
            assert json.loads(viewer.recv(timeout=10))["frame"] == 200


def test_a_stream_that_is_silent_is_forgotten_and_ends_its_viewers(tiny_bundle: Bundle) -> None:
    with live_server(tiny_bundle, LiveSettings(idle_timeout=0.3)) as server, httpx.Client() as client:
        with (
            server.publisher() as publisher,
            client.stream("GET", shown_by(server, publisher)) as answer,
            server.viewer() as viewer,
        ):
            viewer.recv(timeout=10)
            viewer.recv(timeout=10)
            answer.read()  # its end
            with pytest.raises(ConnectionClosed) as viewing:
                viewer.recv(timeout=10)
            with pytest.raises(ConnectionClosed) as publishing:
                publisher.recv(timeout=10)
        assert (closing_code(viewing), closing_code(publishing)) == (1000, 1001)
        assert server.streams() == []
        with server.publisher() as again:  # the name is free
            assert send_frame(again, 10)["frame"] == 1


def shown_by(server: LiveServer, publisher: ClientConnection) -> str:
    """The address of the stream, once it has a frame."""
    send_frame(publisher, 10)
    return f"{server.url}/live/door.mjpeg"


def closing_code(caught: Any) -> int:
    received = caught.value.rcvd
    assert received is not None
    return int(received.code)


# Who may, and what is taken --------------------------------------------------------------------------------------------


def test_without_the_switch_nothing_is_taken_or_shown(client: TestClient) -> None:
    assert client.get("/live").json() == {"enabled": False, "streams": []}
    shown = client.get("/live/door.mjpeg")
    assert (shown.status_code, "serve --live" in shown.json()["detail"]) == (403, True)
    for path in ("/live/door", "/live/door/publish"):
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(path):
            pass
        assert denied.value.status_code == 403


def refusal(server: LiveServer, path: str, **headers: str) -> tuple[int, str]:
    """Status and kind of the problem that a WebSocket is refused with."""
    with pytest.raises(InvalidStatus) as refused:
        socket_to(f"{server.url}/live/{path}", **headers)
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"")["type"].rpartition(":")[2]


def test_names_and_numbers_are_bounded(tiny_bundle: Bundle) -> None:
    with live_server(tiny_bundle, LiveSettings(streams=2, viewers=2)) as server:
        for name in ("a.b", "%2e%2e", "-a", "a" * 65, "%EB%AC%B8", "a%20b"):
            assert refusal(server, f"{name}/publish") == (422, "invalid-name")
        with server.publisher("a") as first, server.publisher("b"):
            send_frame(first, 1)
            assert refusal(server, "a/publish") == (409, "name-taken")
            assert refusal(server, "c/publish") == (429, "too-many-streams")
            assert refusal(server, "c") == (404, "unknown-stream")
            assert httpx.get(f"{server.url}/live/c.mjpeg").status_code == 404
            with server.viewer("a"), server.viewer("b"):
                assert refusal(server, "a") == (429, "too-many-viewers")
                refused = httpx.get(f"{server.url}/live/a.mjpeg")
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")


def test_a_publisher_that_hangs_is_replaced(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection may be dead without anybody having said so: after some seconds without a frame another one gets the name."""
    monkeypatch.setattr("pocketvision.serving.live.PUBLISHER_TIMEOUT", 0.0)
    with server.publisher() as first:
        send_frame(first, 10)
        with server.publisher() as second:
            assert send_frame(second, 20)["frame"] == 2
            with pytest.raises(ConnectionClosed) as closed:
                send_frame(first, 30)
            assert closing_code(closed) == 1008
            assert send_frame(second, 20)["frame"] == 3


@pytest.mark.parametrize(
    "messages",
    [
        (b"\xff\xd8\xff",),  # a picture without an answer
        ("{}", b"<svg onload='alert(1)'>"),
        ("{",),
        ("[]",),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}",),
        (json.dumps({"a": "x" * 300_000}),),
    ],
)
def test_what_is_no_frame_ends_the_publisher_and_is_shown_to_nobody(server: LiveServer, messages: Any) -> None:
    with server.publisher() as publisher, pytest.raises(ConnectionClosed) as closed:
        for message in messages:
            publisher.send(message)
        publisher.recv(timeout=10)
    assert closing_code(closed) == 1008
    assert server.streams()[0]["frames"] == 0


def test_a_picture_that_is_too_large_ends_the_publisher(server: LiveServer) -> None:
    with server.publisher() as publisher, pytest.raises(ConnectionClosed):  # the code may be lost in what is still sent
        send_frame(publisher, 1, jpeg_of(1) + bytes(5_000_000))
    assert server.streams()[0]["frames"] == 0


def test_other_sites_and_other_machines_are_refused(server: LiveServer) -> None:
    for headers in ({"x_forwarded_for": "203.0.113.7"}, {"forwarded": "for=203.0.113.7"}, {"via": "1.1 proxy"}):
        assert refusal(server, "door/publish", **headers) == (403, "publishing-needs-keys")
    assert refusal(server, "door/publish", origin=server.url) == (403, "other-site")
    with server.publisher() as publisher:
        send_frame(publisher, 1)
        assert refusal(server, "door", origin="https://elsewhere.example") == (403, "other-site")
        for site in ("cross-site", "same-site"):
            shown = httpx.get(f"{server.url}/live/door.mjpeg", headers={"sec-fetch-site": site})
            assert (shown.status_code, shown.json()["type"].rpartition(":")[2]) == (403, "other-site")


def test_a_name_that_was_pointed_at_this_machine_is_refused_without_keys(server: LiveServer) -> None:
    with server.publisher() as publisher:
        send_frame(publisher, 1)
        for host in ("evil.example", "evil.example:8000", ""):
            shown = httpx.get(f"{server.url}/live/door.mjpeg", headers={"host": host})
            assert (shown.status_code, shown.json()["type"].rpartition(":")[2]) == (403, "unknown-host")
        for host in ("localhost:1", "127.0.0.1", "[::1]:8000"):
            with httpx.stream("GET", f"{server.url}/live/door.mjpeg", headers={"host": host}) as opened:
                assert opened.status_code == 200


@pytest.mark.slow
def test_who_reads_none_of_a_short_answer_is_cut_off_too(tiny_bundle: Bundle) -> None:
    """Less than the transport's mark waits, so it never asks for a pause, and its closing would wait for ever."""
    with live_server(tiny_bundle, send_buffer=4096, write_timeout=0.2, header_timeout=0.3) as server:
        connections = server.running.server_state.connections
        with socket.socket() as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            rude.connect(("127.0.0.1", server.port))
            rude.sendall(b"GET /page/page.js HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 3)
            until(lambda: any(each.transport.get_write_buffer_size() for each in connections))
            assert all(each.transport.get_write_buffer_size() < 65536 for each in connections)
            until(lambda: not connections)


def test_where_there_are_keys_they_are_needed(tiny_bundle: Bundle) -> None:
    key, kept = new_key("camera")
    with live_server(tiny_bundle, keys=(kept,)) as server:
        for headers in ({}, {"x_api_key": "wrong"}):
            assert refusal(server, "door/publish", **headers) == (401, "unauthorized")
            assert refusal(server, "door", **headers) == (401, "unauthorized")
        # With one, from another machine too.
        with server.publisher(authorization=f"Bearer {key}", x_forwarded_for="203.0.113.7") as publisher:
            send_frame(publisher, 60)
            assert httpx.get(f"{server.url}/live").status_code == 401
            assert httpx.get(f"{server.url}/live/door.mjpeg").status_code == 401
            with server.viewer(x_api_key=key) as viewer:
                assert json.loads(viewer.recv(timeout=10))["frame"] == 60


def test_settings_under_which_live_streams_can_not_be(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="one worker"):
        ServerSettings(live=LiveSettings(), workers=2)
    with pytest.raises(UsageError, match="new-key"):
        serve([str(tiny_bundle.folder)], settings=ServerSettings(live=LiveSettings()), host="0.0.0.0", port=0)


# The end ---------------------------------------------------------------------------------------------------------------


def test_a_stopping_server_waits_for_no_viewer(start) -> None:  # type: ignore[no-untyped-def]
    running = start("--live", "--drain", "20")
    server = LiveServer(running.port, None)  # type: ignore[arg-type]
    with (
        httpx.Client() as client,
        server.publisher() as publisher,
        client.stream("GET", shown_by(server, publisher)) as answer,
        server.viewer() as viewer,
    ):
        next(parts_of(answer.iter_raw(), "pocketvision-frame"))
        code, log = running.stop()
        viewer.recv(timeout=10)
        viewer.recv(timeout=10)
        for connection in (viewer, publisher):
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(timeout=10)
            assert closing_code(closed) == 1012
    assert code == 0
    assert "timeout graceful shutdown exceeded" not in log


def test_a_stopping_server_does_not_wait_long_for_viewers_that_read_nothing(start) -> None:  # type: ignore[no-untyped-def]
    running = start("--live", "--drain", "20")
    server, large = LiveServer(running.port, None), jpeg_of(77) + bytes(4_000_000)  # type: ignore[arg-type]
    with server.publisher() as publisher, ExitStack() as opened:
        send_frame(publisher, 77, large)
        for asked in (PLAIN, UPGRADE):
            rude = opened.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            rude.sendall(asked)
        until(lambda: server.streams()[0]["viewers"] == 2)
        for _ in range(3):
            send_frame(publisher, 77, large)
        code, log = running.stop()
    assert code == 0
    assert "timeout graceful shutdown exceeded" not in log
