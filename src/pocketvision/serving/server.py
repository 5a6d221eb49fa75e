"""A process that serves: its socket and its signals."""

import asyncio
import gc
import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress

import uvicorn

from pocketvision.serving.app import app_for
from pocketvision.serving.graceful_shutdown import accept_pending_connections
from pocketvision.serving.http_protocol import EXCESS_ANSWERED, HttpProtocol
from pocketvision.serving.problems import Problem
from pocketvision.serving.service import Service
from pocketvision.serving.sockets import bind_error
from pocketvision.serving.websocket_protocol import WebSocketProtocol

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 1024
BACKLOG = 2048  # of the system's queue of connections, which asyncio takes up at once
RESERVED_FILES = 64 + 2 * EXCESS_ANSWERED
"""Open files that are no served connections: libraries, bundles, metrics, connections that get a 503."""


def connections_allowed(wanted: int) -> int:
    """How many connections this process may have, `wanted` at most, after its limit of open files was raised as far as it may be.
    Without a file for the next connection, asyncio would log that it has none thousands of times a second."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return wanted
    needed = wanted + RESERVED_FILES + BACKLOG
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError as error:  # in a sandbox
        logger.warning("how many files may be open is not known (%s); up to %d connections are taken", error, wanted)
        return wanted
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return wanted if soft == resource.RLIM_INFINITY else max(min(wanted, soft - RESERVED_FILES), 1)


async def serve(service: Service, sockets: Sequence[socket.socket], on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is in flight. Raises BundleError before it listens, and PocketVisionError
    when it can not.

    sockets: bound, and closed in the end. on_ready: called when the first request can be answered.
    """
    settings = service.settings
    try:
        with _exit_on_sigterm():
            await service.models.load()
        for bound in sockets:
            try:
                bound.listen(BACKLOG)
            except OSError as error:  # another process was faster
                host, port = bound.getsockname()[:2]
                raise bind_error(host, port, error) from error
    except BaseException:
        await service.models.close()
        for bound in sockets:
            bound.close()
        raise
    app = app_for(service)
    # What lives as long as the server is not collected: a full collection would delay a request by 20 to 36 ms.
    gc.collect()
    gc.freeze()

    def count(problem: Problem) -> None:
        service.telemetry.rejected.labels(problem.kind).inc()

    limits = {
        "header_timeout": settings.header_timeout,
        "keep_alive": settings.keep_alive,
        "write_timeout": settings.write_timeout,
        "max_connections": connections_allowed(MAX_CONNECTIONS),
        "on_refused": staticmethod(count),
    }
    config = uvicorn.Config(
        app,
        http=type("LimitedProtocol", (HttpProtocol,), limits),
        ws=type("LimitedSocket", (WebSocketProtocol,), {"write_timeout": settings.write_timeout}),
        ws_max_size=settings.socket_message,
        ws_per_message_deflate=False,  # images are compressed already
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # a fraction of a second is as good
        timeout_graceful_shutdown=math.ceil(settings.drain),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
    )
    server = _Server(config, service)
    waiting = asyncio.create_task(_notify_when_started(server, on_ready))
    try:
        await server.serve(sockets=list(sockets))
    finally:
        waiting.cancel()


async def _notify_when_started(server: uvicorn.Server, on_ready: Callable[[], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    on_ready()


@contextmanager
def _exit_on_sigterm() -> Generator[None, None, None]:
    """Exit at once at SIGTERM: nothing is in flight. Process 1 of a container ignores the signal without a handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    """uvicorn's, but WebSockets and streams are notified of a shutdown, and the signal is not raised again afterwards: a stop
    that was asked for is no failure."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept what is pending, drain, end."""
        await accept_pending_connections(sockets or [])
        self._service.stopping.set()
        self._service.live.close()
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


def leave_hung_threads() -> None:
    """End the process, with success, although a decode or a run of the network hangs: Python would wait for its thread for ever.

    The last thing that a process of its own does.
    """
    ends = time.monotonic() + 1
    for thread in threading.enumerate():
        if thread.name.startswith("batch_"):
            thread.join(max(ends - time.monotonic(), 0))
            if thread.is_alive():
                logging.shutdown()
                os._exit(0)
