"""A server with live streams in a thread of this process, so that its bounds can be small; its publishers and viewers."""

import asyncio
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from pocketvision.bundle import Bundle
from pocketvision.serving import server
from pocketvision.serving.live import LiveSettings
from pocketvision.serving.models import BundleSource
from pocketvision.serving.service import Service, service_for
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.sockets import listening_sockets


@dataclass(frozen=True)
class LiveServer:
    """A running server."""

    port: int
    service: Service
    running: Any = None  # uvicorn.Server

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def publisher(self, name: str = "door", **headers: str) -> ClientConnection:
        """A connection to publish over."""
        return socket_to(f"{self.url}/live/{name}/publish", **headers)

    def viewer(self, name: str = "door", **headers: str) -> ClientConnection:
        """A connection to watch over."""
        return socket_to(f"{self.url}/live/{name}", **headers)

    def streams(self) -> list[dict[str, Any]]:
        """What GET /live lists."""
        streams: list[dict[str, Any]] = httpx.get(f"{self.url}/live").json()["streams"]
        return streams


def socket_to(url: str, **headers: str) -> ClientConnection:
    """A WebSocket; header names with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return connect(url.replace("http", "ws", 1), additional_headers=named, compression=None, max_size=None)


@contextmanager
def live_server(
    bundle: Bundle, live: LiveSettings | None = None, *, port: int = 0, send_buffer: int = 0, **settings: Any
) -> Iterator[LiveServer]:
    """Serve `bundle` until the block ends; then the server has 20 s to stop as it does on a signal."""
    service = service_for(
        [BundleSource("tiny", bundle.folder)], ServerSettings(live=live or LiveSettings(), **settings)
    )
    # send_buffer: bytes that the system takes from the server for a client that does not read.
    bound, ready, made = listening_sockets("127.0.0.1", port)[0], threading.Event(), []

    if send_buffer:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)

    class Known(server._Server):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_Server", Known)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(service, [bound], ready.set)), daemon=True)
        thread.start()
        assert ready.wait(20)
    try:
        yield LiveServer(bound.getsockname()[1], service, made[0])
    finally:
        made[0].should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def jpeg_of(number: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A grey picture whose brightness is the number."""
    file = io.BytesIO()
    Image.new("RGB", size, (number, number, number)).save(file, "JPEG")
    return file.getvalue()


def number_in(picture: bytes) -> int:
    """What jpeg_of was given, to within 2."""
    return round(float(np.asarray(Image.open(io.BytesIO(picture))).mean()))


def send_frame(publisher: ClientConnection, number: int, picture: bytes | None = None) -> Any:
    """Publish a frame, and give what the server says."""
    publisher.send(json.dumps({"frame": number, "label": "red"}))
    publisher.send(picture or jpeg_of(number))
    return json.loads(publisher.recv(timeout=10))


def parts_of(body: Iterator[bytes], boundary: str) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and content of each part of a multipart body, as they come."""
    waiting, line = b"", b"--" + boundary.encode() + b"\r\n"
    for chunk in body:
        waiting += chunk
        while line in waiting and b"\r\n\r\n" in waiting.partition(line)[2]:
            before, _, after = waiting.partition(line)
            assert before in (b"", b"\r\n")
            head, _, content = after.partition(b"\r\n\r\n")
            headers = dict(each.split(": ", 1) for each in head.decode().split("\r\n"))
            size = int(headers["Content-Length"])
            if len(content) < size + 2 + len(line):  # the next boundary comes with the picture, not with the next one
                break
            yield headers, content[:size]
            waiting = content[size:]


def until(true: Callable[[], Any], seconds: float = 15) -> Any:
    """What a function gives as soon as that is true."""
    event, tries = threading.Event(), int(seconds / 0.02)
    for _ in range(tries):
        if value := true():
            return value
        event.wait(0.02)
    raise AssertionError("it never came true")
