"""The last requests of a server that stops: who has connected is still answered.

A proxy that found the door open has handed its client's request over and can not send it a second time, so neither connections
that wait in the system's queue nor those that have not been read from may be thrown away.
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


async def take_up_connections(sockets: Sequence[socket.socket]) -> None:
    """Let the event loop take up what waits in the queues of listening sockets. To be awaited just before they are closed.

    On Linux the kernel is told to drop whoever knocks meanwhile: they knock again a second later, at a closed door, and know that
    they were not let in. Elsewhere a connection may still come in between, and is lost.
    """
    if sys.platform == "linux":
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN_CONSTANT, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(nothing))
        for each in sockets:
            with suppress(OSError):  # a kernel that only looks like Linux (gVisor)
                each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    # One turn sees that somebody waits, the next accepts, the third makes it a connection of the server's.
    for _ in range(3):
        await asyncio.sleep(0)


class LastCallProtocol(HttpToolsProtocol):
    """HTTP/1.1 where a connection that has not asked anything yet, or has begun to ask again, has `last_call` seconds to do so
    after the server was told to stop, and is closed after its answer. uvicorn alone closes it at once, also when its request
    has arrived and is not read."""

    last_call: ClassVar[float] = 1.0
    _leaving = False
    _asking = False  # the headers of a request have begun, and are not complete

    def shutdown(self) -> None:
        """Finish what is being answered, close what is idle, wait for who is new."""
        if self.cycle is not None and not (self.cycle.response_complete and self._asking):
            super().shutdown()
            return
        self._leaving = True
        self.loop.call_later(self.last_call, self._leave)

    def on_message_begin(self) -> None:
        """Somebody asks."""
        self._asking = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take a request; while leaving, its connection has no other."""
        self._asking = False
        super().on_headers_complete()
        if self._leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def handle_websocket_upgrade(self) -> None:
        """No conversation begins while leaving."""
        if self._leaving:
            self.transport.close()
            return
        super().handle_websocket_upgrade()

    def _leave(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()
