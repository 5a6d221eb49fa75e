"""Connections that have had their last answer, and whose clients send on."""

import asyncio
from collections.abc import Callable

from pocketvision.serving.stalled_writes import cut

QUIET = 2.0
"""Seconds without a byte after which such a client has read what it was told, or never will."""
LONGEST = 10.0
"""Seconds for one that sends all the time: 20 MiB, the largest body by default, at 2 MiB a second."""


class Lingering(asyncio.Protocol):
    """What a connection is handed to after its last answer: what the client still sends is read and forgotten until it closes, is
    quiet, or has had its time. Closed with something unread, the system would send a reset, which may overtake the answer."""

    def __init__(self, transport: asyncio.Transport, lost: Callable[[Exception | None], None]) -> None:
        self._transport = transport
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._ends = self._heard + LONGEST
        self._unsent = transport.get_write_buffer_size() + 1  # bytes, at the last look
        self._timer = self._loop.call_later(QUIET, self._look)
        transport.set_protocol(self)
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()

    def data_received(self, _data: bytes) -> None:
        """Forget it."""
        self._heard = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol that had the connection."""
        self._timer.cancel()
        self._lost(exc)

    def _look(self) -> None:
        left = self._transport.get_write_buffer_size()
        if 0 < left < self._unsent:  # it reads what it was sent, slowly
            self._heard = self._loop.time()
            self._ends = self._heard + LONGEST
        self._unsent = left
        until = min(self._heard + QUIET, self._ends)
        if self._loop.time() < until:
            self._timer = self._loop.call_at(until, self._look)
        else:
            cut(self._transport)
