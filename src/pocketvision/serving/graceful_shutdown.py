"""Graceful shutdown of HTTP connections: every connection that was accepted is still answered.

A proxy that has sent its client's request can not send it a second time. So neither connections in the kernel's accept queue nor
those that have not been read from may be dropped.
"""

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SO_ATTACH_FILTER = 26  # Linux's; Python has no name for it
_RETURN_CONSTANT = 0x06  # the one instruction of a filter that keeps 0 bytes of every packet


async def accept_pending_connections(sockets: Sequence[socket.socket]) -> None:
    """Let the event loop accept what waits in the queues of listening sockets. To be awaited just before they are closed.

    On Linux the kernel drops the SYN packets that arrive meanwhile: such a client sends another a second later and is refused
    then. Elsewhere a connection may still arrive in between, and is lost.
    """
    if sys.platform == "linux":
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN_CONSTANT, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(nothing))
        for each in sockets:
            with suppress(OSError):  # a kernel that only looks like Linux (gVisor)
                each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    # The first turn sees the socket as readable, the second accepts, the third makes it a connection of the server.
    for _ in range(3):
        await asyncio.sleep(0)


class GracefulShutdownProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a graceful shutdown: a connection without a request yet, or with one that has begun to arrive, has
    `shutdown_grace` seconds to send it, and is closed after its response. uvicorn alone closes it at once, also when its request
    has arrived and is not read."""

    shutdown_grace: ClassVar[float] = 1.0
    _shutting_down = False
    _receiving_head = False  # the headers of a request have begun, and are not complete

    def shutdown(self) -> None:
        """Finish the response in progress, close idle connections, wait for the first request of new ones."""
        if self.cycle is not None and not (self.cycle.response_complete and self._receiving_head):
            super().shutdown()
            return
        self._shutting_down = True
        self.loop.call_later(self.shutdown_grace, self._close_if_idle)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._receiving_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take a request; during a shutdown it is the last of its connection."""
        self._receiving_head = False
        super().on_headers_complete()
        if self._shutting_down and self.cycle is not None:
            self.cycle.keep_alive = False

    def handle_websocket_upgrade(self) -> None:
        """Open no WebSocket during a shutdown."""
        if self._shutting_down:
            self.transport.close()
            return
        super().handle_websocket_upgrade()

    def _close_if_idle(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()
