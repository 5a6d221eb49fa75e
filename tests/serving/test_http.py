"""What is not quite HTTP, or more of it than anybody needs: on a real socket, before the application sees anything."""

import json
import socket
from contextlib import suppress

import pytest
from live_server import live_server
from served import Running, Start, memory, picture

from pocketvision.bundle import Bundle
from pocketvision.serving.keys import new_key
from pocketvision.serving.server import BACKLOG, RESERVED_FILES, connections_allowed
from pocketvision.serving.unchunked import Unchunked

IMAGE = picture("red")
POST = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\n"
LENGTH = b"content-length: %d\r\n" % len(IMAGE)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(IMAGE), IMAGE)
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CLOSE = b"connection: close\r\n\r\n"


def exchange(server: Running, *parts: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every answer on one connection, until the server closes it."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        with suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        with suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    answers = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            continue
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        answers.append((int(head.split()[1]), received[:length]))
        received = received[length:]
    return answers


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        pytest.param(POST + LENGTH + CLOSE + IMAGE, [200], id="as it should be"),
        pytest.param(POST + CHUNKED + CLOSE + CHUNK + b"0\r\n\r\n", [200], id="in chunks"),
        pytest.param(POST + CHUNKED + CLOSE + CHUNK + b"0\r\nx-api-key: y\r\n\r\n", [200], id="with a trailer"),
        pytest.param(POST + LENGTH + b"\r\n" + IMAGE + POST + LENGTH + CLOSE + IMAGE, [200], id="one too early"),
        pytest.param(POST + LENGTH + b"\r\n" + IMAGE + b"\x16\x03\x01", [200], id="something else too early"),
        pytest.param(
            POST + LENGTH + b"\r\n" + IMAGE + b"GET / HTTP/1.1\r\n\r\n", [200], id="one without a host too early"
        ),
        pytest.param(POST + LENGTH + b"\r\n" + IMAGE + UPGRADE, [200], id="a WebSocket too early"),
        pytest.param(b"\r\n" + POST + LENGTH + CLOSE + IMAGE + b"\r\n", [200], id="empty lines around it"),
        pytest.param(
            POST.replace(b"1.1", b"1.0").replace(b"host: x\r\n", b"") + LENGTH + b"\r\n" + IMAGE, [200], id="HTTP/1.0"
        ),
        pytest.param(
            POST.replace(b"1.1", b"1.0") + LENGTH + b"expect: 100-continue\r\n\r\n" + IMAGE,
            [200],
            id="HTTP/1.0 that expects a word",
        ),
        pytest.param(POST + LENGTH + b"expect: 100-continue\r\n" + CLOSE + IMAGE, [200], id="expecting a word"),
        pytest.param(
            POST.replace(b"host: x\r\n", b"host: x\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n")
            + LENGTH
            + b"\r\n"
            + IMAGE,
            [200],
            id="a wish for another protocol is passed over",
        ),
        pytest.param(
            POST.replace(b"host: x\r\n", b"host: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n")
            + CHUNKED
            + b"\r\n"
            + CHUNK
            + b"0\r\n\r\n"
            + POST
            + LENGTH
            + CLOSE
            + IMAGE,
            [200],
            id="and one too early",
        ),
        pytest.param(b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n", [400], id="a tunnel"),
        pytest.param(POST.replace(b"host: x\r\n", b"") + LENGTH + CLOSE + IMAGE, [400], id="no host"),
        pytest.param(POST + b"host: y\r\n" + LENGTH + CLOSE + IMAGE, [400], id="two hosts"),
        pytest.param(POST + LENGTH + CHUNKED + CLOSE + IMAGE, [400], id="two lengths"),
        pytest.param(POST + LENGTH + b"content-length: 1\r\n" + CLOSE + IMAGE, [400], id="two other lengths"),
        pytest.param(POST + b"content-length: -1\r\n" + CLOSE, [400], id="a negative length"),
        pytest.param(POST + CHUNKED + CLOSE + b"zz\r\n", [400], id="a chunk of no size"),
        pytest.param(POST + b"x: a\r\n b\r\n" + LENGTH + CLOSE + IMAGE, [400], id="a folded header"),
        pytest.param(POST + b"x y: a\r\n" + LENGTH + CLOSE + IMAGE, [400], id="a name with a space"),
        pytest.param(POST + b"x: a\x00b\r\n" + LENGTH + CLOSE + IMAGE, [400], id="a null character"),
        pytest.param(
            POST + b"transfer-encoding: gzip, chunked\r\n" + CLOSE + CHUNK + b"0\r\n\r\n", [400], id="a coding"
        ),
        pytest.param(
            POST + b"transfer-encoding: identity\r\n" + CHUNKED + CLOSE + CHUNK + b"0\r\n\r\n",
            [400],
            id="codings on two lines",
        ),
        pytest.param(
            POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNK + b"0\r\n\r\n", [400], id="chunks in HTTP/1.0"
        ),
        pytest.param(POST.replace(b"1.1", b"2.0") + LENGTH + CLOSE + IMAGE, [400], id="HTTP/2 in HTTP/1's form"),
        pytest.param(POST.replace(b"1.1", b"0.9") + LENGTH + CLOSE + IMAGE, [400], id="HTTP/0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400], id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400], id="TLS"),
        pytest.param(POST + CHUNKED + CLOSE + CHUNK + b"0\r\nx: " + b"z" * 700_000, [431], id="a trailer without end"),
        pytest.param(POST + CHUNKED + CLOSE + b"5;x=" + b"z" * 700_000, [431], id="a chunk's extension without end"),
        pytest.param(
            POST + CHUNKED + CLOSE + CHUNK + b"0\r\n" + b"x: z\r\n" * 100_000, [431], id="trailers without end"
        ),
    ],
)
def test_what_is_asked_is_distinguished_from_what_only_looks_like_it(
    server: Running, sent: bytes, statuses: list[int]
) -> None:
    answers = exchange(server, sent)
    assert [status for status, _ in answers] == statuses
    for status, body in answers:
        if status == 200:
            assert json.loads(body)["predictions"][0]["label"] == "red"
        else:
            kind = {400: "bad-request", 431: "headers-too-large"}[status]
            assert json.loads(body)["type"] == f"urn:pocketvision:problem:{kind}"


UPGRADE_REQUEST = POST.replace(b"host: x\r\n", b"host: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n")


@pytest.mark.parametrize("request_", [POST + LENGTH + b"\r\n" + IMAGE, UPGRADE_REQUEST + LENGTH + b"\r\n" + IMAGE])
def test_one_after_the_other_keeps_the_connection(server: Running, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for _ in range(5):
            connection.sendall(request_)
            assert answer_on(connection)[0] == 200


def test_what_is_refused_early_is_answered_once(server: Running) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n" + CHUNKED + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head)
        assert answer_on(connection)[0] == 415
        connection.sendall(b"what is no chunk\r\n")
        assert connection.recv(100) == b""


def test_a_proxys_target_may_be_without_a_path(server: Running) -> None:
    assert [status for status, _ in exchange(server, b"GET http://x HTTP/1.1\r\nhost: x\r\n" + CLOSE)] == [200]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_early_refusal_reaches_a_client_that_closes_afterwards(start: Start, version: bytes) -> None:
    """As Python's urllib, which sends all before it reads: closed with something unread, the system would send a reset."""
    key = new_key("me")[1]
    server = start(POCKETVISION_API_KEYS=f"{key.name}:{key.sha256}")
    large = POST.replace(b"1.1", version) + b"content-length: %d\r\n" % (50 * 65536) + CLOSE
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(large)
            for _ in range(50):
                connection.sendall(bytes(65536))
            assert answer_on(connection)[0] == 401
            assert connection.recv(100) == b""


def test_who_waits_for_a_word_and_gets_an_answer_instead_has_to_come_again(server: Running) -> None:
    """It may send its body or not: what comes next on the connection could be either."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(POST.replace(b"image/jpeg", b"text/plain") + LENGTH + b"expect: 100-continue\r\n\r\n")
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 415") and b"connection: close" in received


def test_connections_beyond_the_most_are_refused(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.serving.server.MAX_CONNECTIONS", 3)
    monkeypatch.setattr("pocketvision.serving.http_protocol.EXCESS_ANSWERED", 2)
    monkeypatch.setattr(
        "pocketvision.serving.lingering_close.LINGERING_TIMEOUT", 10.0
    )  # those that were answered linger until this test ends
    with live_server(tiny_bundle) as running:
        address = ("127.0.0.1", running.port)
        held = [socket.create_connection(address, timeout=20) for _ in range(3)]
        for connection in held:  # so that it is sure that they were taken
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert answer_on(connection)[0] == 200
        for _ in range(2):
            held.append(socket.create_connection(address, timeout=20))
            status, body = answer_on(held[-1])
            assert (status, json.loads(body)["type"]) == (503, "urn:pocketvision:problem:too-many-connections")
        with socket.create_connection(address, timeout=20) as connection, suppress(ConnectionError):
            assert connection.recv(100) == b""  # not even an answer
        held[0].sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'"too-many-connections"} 2.0' in answer_on(held[0])[1]
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "asked"),
    [
        (1024, 1024, 1024 - RESERVED_FILES, None),
        (1024, 4096, 1024, 1024 + RESERVED_FILES + BACKLOG),
        (256, 512, 512 - RESERVED_FILES, 512),
        (64, 64, 1, None),
        (1_000_000, 1_000_000, 1024, None),
        (-1, -1, 1024, None),
        (1024, -1, 1024, 1024 + RESERVED_FILES + BACKLOG),
    ],
)
def test_there_are_no_more_connections_than_files(
    soft: int, hard: int, allowed: int, asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert connections_allowed(1024) == allowed
    assert [limits[0] for limits in set_to if limits[0] != soft] == ([] if asked is None else [asked])


def test_a_sandbox_that_tells_no_limit_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource")

    def unknown(_: int) -> tuple[int, int]:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(resource, "getrlimit", unknown)
    assert connections_allowed(1024) == 1024
    assert "is not known" in caplog.text


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """The next answer on a connection that stays."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


def test_the_answer_reaches_a_client_that_sends_on(server: Running) -> None:
    more = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 3_000
    for _ in range(20):  # closed with something unread, the system would send a reset, which may overtake the answer
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(POST + LENGTH + b"\r\n" + IMAGE + more)
            status, body = answer_on(connection)
            with suppress(ConnectionError):
                for _ in range(5):
                    connection.sendall(more)
            assert (status, json.loads(body)["predictions"][0]["label"]) == (200, "red")
            assert connection.recv(100) == b""  # an end, not a reset


def test_thousands_that_come_too_early_are_not_kept(server: Running) -> None:
    exchange(server, POST + LENGTH + CLOSE + IMAGE)
    before = memory(server.process.pid)
    for _ in range(5):
        answers = exchange(
            server, POST + LENGTH + b"\r\n" + IMAGE, *[b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 5_000] * 20
        )
        # One that comes after the image was answered is not too early.
        assert {status for status, _ in answers} == {200} and len(answers) < 10, answers
    assert memory(server.process.pid) - before < 8 * 1024
    assert exchange(server, POST + LENGTH + CLOSE + IMAGE)[0][0] == 200


def test_chunks_are_taken_off_for_those_who_know_none() -> None:
    class RecordingTransport:
        written = b""

        def write(self, data: bytes) -> None:
            self.written += data

    for head, body, expected in (
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\na: b\r\n\r\n",
            [b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"],
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\na: b\r\n\r\n", [b"2\r\n"], b"2\r\n"),
    ):
        kept = RecordingTransport()
        written = Unchunked(kept)  # type: ignore[arg-type]
        for part in (head, *body):
            written.write(part)
        assert kept.written == head.replace(b"transfer-encoding: chunked\r\n", b"") + expected


def test_what_never_comes_to_an_end_takes_no_memory(server: Running) -> None:
    exchange(server, POST + LENGTH + CLOSE + IMAGE)
    before = memory(server.process.pid)
    for _ in range(20):
        for beginning in (b"GET /health HTTP/1.1\r\nx: ", POST + CHUNKED + b"\r\n" + CHUNK + b"0\r\nx: "):
            assert [status for status, _ in exchange(server, beginning, *[b"z" * 100_000] * 50)] == [431]
    assert memory(server.process.pid) - before < 8 * 1024
    assert exchange(server, POST + LENGTH + CLOSE + IMAGE)[0][0] == 200
