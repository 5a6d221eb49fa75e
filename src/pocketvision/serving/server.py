"""A process that serves: its socket, its signals, and connections that are not waited for for ever."""

import asyncio
import errno
import math
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import ClassVar

import h11
import uvicorn

from pocketvision.errors import PocketVisionError
from pocketvision.serving.app import app_for
from pocketvision.serving.last_call import LastCallProtocol, take_up_connections
from pocketvision.serving.service import Service

MAX_HEADERS = 32 * 1024  # bytes of a request's headers
MAX_CONNECTIONS = 1024


def listening_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A TCP socket bound to host and port (0: any free one). shared: others of this user that are shared may have it too; Linux
    only. Raises PocketVisionError that says why it can not be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # asyncio turns off the wait for more to send (TCP_NODELAY) only where the protocol is named: 40 ms an answer.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise PocketVisionError(f"{host} is no address of this machine ({error.strerror or error})") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
        bound.set_inheritable(False)
        return bound
    except (OSError, OverflowError) as error:
        bound.close()
        code = getattr(error, "errno", None)
        hint = {
            errno.EADDRINUSE: "another program listens there already; choose another --port, or 0 for any free one",
            errno.EACCES: "no permission for that port; those below 1024 belong to the system, choose a higher --port",
            errno.EADDRNOTAVAIL: "this machine has no such address; choose another --host",
        }.get(code or 0, str(error))
        raise PocketVisionError(f"{host}:{port} can not be served on: {hint}") from error


async def serve(service: Service, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is in flight. Raises BundleError before it listens.

    on_ready: called when the first request can be answered.
    """
    settings = service.settings
    try:
        await service.models.load()
    except BaseException:
        await service.models.close()
        bound.close()
        raise
    config = uvicorn.Config(
        app_for(service),
        http=type("TimedProtocol", (PatientProtocol,), {"header_timeout": settings.header_timeout}),
        ws_max_size=settings.socket_message,
        ws_per_message_deflate=False,  # images are compressed already
        h11_max_incomplete_event_size=MAX_HEADERS,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(settings.drain),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
    )
    server = _Server(config)
    waiting = asyncio.create_task(_told(server, on_ready))
    try:
        await server.serve(sockets=[bound])
    finally:
        waiting.cancel()


async def _told(server: uvicorn.Server, on_ready: Callable[[], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    on_ready()


class _Server(uvicorn.Server):
    """uvicorn's, but a signal that was obeyed is not raised again: a stop that was asked for is no failure."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door behind who has come in."""
        await take_up_connections(sockets or [])
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop at SIGINT and SIGTERM."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class PatientProtocol(LastCallProtocol):
    """HTTP/1.1 with a limit to patience: a connection on which no request is being worked on has `header_timeout` seconds to
    send the next one's headers, and the rest of a body that was refused. uvicorn alone waits for ever (slow loris)."""

    header_timeout: ClassVar[float] = 10.0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def handle_events(self) -> None:
        """Stop waiting once a request is there."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is another protocol's from here on."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(self.header_timeout, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
