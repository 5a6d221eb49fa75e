"""WebSockets frame by frame, on a real socket: what is no handshake, and clients that send what nobody sends."""

import json
import re
import socket
import struct
import time
from contextlib import suppress

import httpx
import pytest
from live_server import live_server
from served import Running, Start, picture
from websockets.sync.client import connect

from pocketvision.bundle import Bundle
from pocketvision.serving import websocket_protocol
from pocketvision.serving.websocket_protocol import WebSocketProtocol

HANDSHAKE = {
    "host": "x",
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FINAL = 0x80


def head(path: str = "/ws", method: str = "GET", version: str = "1.1", **changed: str) -> bytes:
    """A request for a WebSocket; header names with _ for -, none for an empty value."""
    headers = HANDSHAKE | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", ""]).encode()


def frame(kind: int, content: bytes = b"", first: int = FINAL) -> bytes:
    """A frame as clients send it, with a mask that changes nothing."""
    size = len(content)
    length = (
        bytes([FINAL | size])
        if size < 126
        else struct.pack(">BH", 254, size)
        if size < 65536
        else struct.pack(">BQ", 255, size)
    )
    return bytes([first | kind]) + length + bytes(4) + content


def received(connection: socket.socket) -> bytes:
    """All that comes until the connection ends."""
    content = b""
    with suppress(ConnectionError):
        while chunk := connection.recv(65536):
            content += chunk
    return content


def opened(server: Running) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(head())
    content = b""
    while b"\r\n\r\n" not in content:
        content += connection.recv(1)
    assert content.startswith(b"HTTP/1.1 101")
    return connection


def code_of(content: bytes) -> int:
    """The code of the close frame that ends what was received."""
    found = re.search(rb"\x88[\x02-\x7d](..)[^\x88]*$", content, re.DOTALL)
    assert found, content[-200:]
    return int(struct.unpack(">H", found[1])[0])


def test_what_is_no_handshake_is_refused_with_a_document_logged_and_counted(start: Start) -> None:
    server = start()
    wrong = [
        (head(sec_websocket_version="12"), 426, "websocket-version"),
        (head(sec_websocket_version=""), 426, "websocket-version"),
        (head(sec_websocket_key=""), 400, "websocket-handshake"),
        (head(sec_websocket_key="abc"), 400, "websocket-handshake"),
        (head(sec_websocket_protocol="b@d,"), 400, "websocket-handshake"),
        (head(method="POST", content_length="0"), 405, "method-not-allowed"),
        (head("/nothing"), 404, "not-found"),
        (head("/ws/"), 404, "not-found"),
        (head("/health"), 404, "not-found"),
    ]
    for asked, status, kind in wrong:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(asked)
            heads, _, body = received(connection).partition(b"\r\n\r\n")
        assert heads.startswith(b"HTTP/1.1 %d " % status), (asked, heads)
        assert b"application/problem+json" in heads
        problem = json.loads(body)
        assert (problem["type"], problem["status"]) == (f"urn:pocketvision:problem:{kind}", status)
        assert f"x-request-id: {problem['request_id']}".encode() in heads.lower()
        assert b"sec-websocket-version: 13" in heads or status != 426
    metrics = httpx.get(f"{server.url}/metrics").text
    _, log = server.stop()
    for kind in {kind for _, _, kind in wrong}:
        times = sum(kind == each for _, _, each in wrong)
        assert re.search(rf'pocketvision_rejected_total{{[^}}]*"{kind}"[^}}]*}} {times}\.0', metrics), kind
        assert log.count(kind) >= times
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "asked", [head(upgrade="h2c, websocket"), head(connection="keep-alive\r\nconnection: Upgrade")]
)
def test_an_upgrade_header_may_list_other_protocols(server: Running, asked: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(asked)
        assert connection.recv(100).startswith(b"HTTP/1.1 101")


def test_http_1_0_has_no_websockets(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head("/health", version="1.0"))
        assert received(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(frame(PING), id="pings"),
        pytest.param(frame(PONG), id="pongs"),
        pytest.param(frame(CONTINUATION, first=0), id="empty fragments"),
        pytest.param(frame(CONTINUATION, b"  ", first=0), id="small fragments"),
    ],
)
def test_who_sends_nothing_but_small_frames_is_closed(server: Running, flood: bytes) -> None:
    with opened(server) as connection:
        with suppress(ConnectionError):
            connection.sendall(frame(TEXT, first=0))
            for _ in range(50):
                connection.sendall(flood * 1000)
        assert code_of(received(connection)) == 1008


def test_a_message_in_many_parts_is_answered(server: Running) -> None:
    image = picture("red", "BMP", size=(300, 300))
    for size in (1024, 65536, 5_000_000):
        parts = [image[start : start + size] for start in range(0, len(image), size)]
        kinds = [BINARY] + [CONTINUATION] * (len(parts) - 1)
        firsts = [0] * (len(parts) - 1) + [FINAL]
        with opened(server) as connection:
            for part, kind, first in zip(parts, kinds, firsts, strict=True):
                connection.sendall(frame(kind, part, first) + frame(PONG) * (part is parts[0]))
            connection.sendall(frame(CLOSE, struct.pack(">H", 1000)))
            # It is read to its end before the close is looked at.
            assert code_of(received(connection)) == 1000
    with connect(f"ws://127.0.0.1:{server.port}/ws", max_size=None) as client:
        for _ in range(3):
            client.send(image[start : start + 4000] for start in range(0, len(image), 4000))
            assert json.loads(client.recv(timeout=20))["predictions"][0]["label"] == "red"


def test_what_comes_at_once_is_all_answered(server: Running) -> None:
    """More than a slice of it, and more messages than are in work at once."""
    asked = [{"type": "health_check", "request_id": str(number)} for number in range(600)]
    with connect(f"ws://127.0.0.1:{server.port}/ws", max_size=None) as client:
        client.socket.sendall(b"".join(frame(TEXT, json.dumps(each).encode()) for each in asked))
        found = [json.loads(client.recv(timeout=30)) for _ in asked]
    assert {each["request_id"] for each in found} == {each["request_id"] for each in asked}
    assert {each["type"] for each in found} == {"health_response"}


def test_text_that_is_none_is_nothing_for_the_log(start: Start) -> None:
    server = start()
    with opened(server) as connection:
        connection.sendall(frame(TEXT, b"\xff\xfe"))
        assert code_of(received(connection)) == 1007
    _, log = server.stop()
    assert "Traceback" not in log and "ERROR" not in log


def test_a_message_of_very_many_parts_is_not_kept_in_parts(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would be an object of its own: of a message of single bytes, a hundred times as many as it has."""
    monkeypatch.setattr(websocket_protocol, "MAX_SMALL_FRAMES", 1e9)
    with live_server(tiny_bundle) as running, connect(f"ws://127.0.0.1:{running.port}/ws") as client:
        client.socket.sendall(frame(TEXT, b"{", first=0) + frame(CONTINUATION, b" ", first=0) * 5000)
        httpx.get(f"{running.url}/health")
        (kept,) = [each for each in running.running.server_state.connections if isinstance(each, WebSocketProtocol)]
        ends = time.monotonic() + 20
        while sum(map(len, kept.frames)) < 5001:
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert len(kept.frames) <= websocket_protocol.MAX_FRAGMENTS
        client.socket.sendall(frame(CONTINUATION, b"}"))
        assert json.loads(client.recv(timeout=20))["problem"] == "urn:pocketvision:problem:unknown-type"
