"""Graceful shutdown: every connection that was accepted is answered."""

import asyncio
import socket
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import Any, ClassVar

import pytest
import uvicorn
from served import picture

from pocketvision.serving.graceful_shutdown import GracefulShutdownProtocol
from pocketvision.serving.http_protocol import HttpProtocol
from pocketvision.serving.sockets import listening_sockets

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class LongCall(GracefulShutdownProtocol):
    """Waits for longer than any test."""

    shutdown_grace: ClassVar[float] = 600.0


class ShortCall(GracefulShutdownProtocol):
    """Waits for no time at all."""

    shutdown_grace: ClassVar[float] = 0.0


async def answer(_: Any, receive: Any, send: Any) -> None:
    """An application that answers `here`."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"here"})


async def reply_after_listeners_closed(
    protocol: type[GracefulShutdownProtocol], request: bytes, *, before: bytes = b"", read_before: int = 0
) -> bytes:
    """What a connection receives that was open before the shutdown and sends `request` afterwards. before: what it sent until
    then. read_before: bytes of the answer to that."""
    bound = listening_sockets("127.0.0.1", 0)[0]
    server = uvicorn.Server(uvicorn.Config(answer, http=protocol, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not server.server_state.connections:
        await asyncio.sleep(0.01)
    writer.write(before)
    await reader.readexactly(read_before)
    if before:  # all of it is read
        await asyncio.sleep(0.1)
    server.should_exit = True
    while server.servers[0].is_serving():
        await asyncio.sleep(0.01)
    with suppress(ConnectionError):
        writer.write(request)
        await writer.drain()
    reply = b""
    with suppress(ConnectionError):
        reply = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await asyncio.wait_for(serving, 20)
    return reply


def test_an_idle_connection_may_send_one_request_during_shutdown() -> None:
    assert issubclass(HttpProtocol, GracefulShutdownProtocol)
    reply = asyncio.run(reply_after_listeners_closed(LongCall, REQUEST))
    assert reply.startswith(b"HTTP/1.1 200")
    assert reply.endswith(b"here")


def test_a_half_sent_request_is_answered_during_shutdown() -> None:
    again = REQUEST[:10]
    first = asyncio.run(reply_after_listeners_closed(LongCall, b"", before=REQUEST))
    assert first.startswith(b"HTTP/1.1 200") and first.endswith(b"here")
    reply = asyncio.run(
        reply_after_listeners_closed(LongCall, REQUEST[10:], before=REQUEST + again, read_before=len(first))
    )
    assert reply.startswith(b"HTTP/1.1 200") and reply.endswith(b"here")
    waited = asyncio.run(reply_after_listeners_closed(ShortCall, b"", before=REQUEST + again, read_before=len(first)))
    assert waited == b""


def test_an_idle_connection_does_not_delay_shutdown() -> None:
    assert asyncio.run(reply_after_listeners_closed(ShortCall, b"")) == b""


def test_no_websocket_opens_during_shutdown() -> None:
    upgrade = (
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n\r\n"
    )
    asked = REQUEST.removesuffix(b"\r\n") + upgrade
    assert asyncio.run(reply_after_listeners_closed(LongCall, asked)) == b""


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a connection may arrive while the sockets are being closed"
)
def test_no_connection_accepted_during_shutdown_is_left_unanswered(start) -> None:  # type: ignore[no-untyped-def]
    body = picture("red", size=(600, 400))
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: image/jpeg\r\ncontent-length: %d\r\n\r\n"
    for _ in range(2):
        server = start()
        seen: Counter[str] = Counter()
        enough = threading.Event()
        asking = [
            threading.Thread(target=knock, args=(server.port, head % len(body) + body, seen, enough)) for _ in range(8)
        ]
        for each in asking:
            each.start()
        enough.wait(30)
        assert server.stop()[0] == 0
        for each in asking:
            each.join(60)
        assert set(seen) == {"answered"}, seen


def knock(port: int, request: bytes, seen: "Counter[str]", enough: threading.Event) -> None:
    """Ask over and over, a connection each, until it is refused."""
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            return
        with connection:
            reply = b""
            with suppress(ConnectionError):
                connection.sendall(request)
                while chunk := connection.recv(65536):
                    reply += chunk
        seen["answered" if reply.startswith(b"HTTP/1.1 200") else f"lost: {reply[:15]!r}"] += 1
        if seen["answered"] > 60:
            enough.set()
