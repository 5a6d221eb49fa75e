"""Lingering close: what a client sends after its last response is read and discarded before the connection is closed.

nginx has the same under this name (lingering_timeout, lingering_time).
"""

import asyncio
from collections.abc import Callable

from pocketvision.serving.write_timeout import abort

LINGERING_TIMEOUT = 2.0
"""Seconds without a byte after which the connection is closed."""
LINGERING_TIME = 10.0
"""Seconds for a client that sends all the time: 20 MiB, the largest body by default, at 2 MiB a second."""


class LingeringClose(asyncio.Protocol):
    """The protocol of a connection after its last response: reads and discards until the client closes, sends nothing for
    LINGERING_TIMEOUT, or LINGERING_TIME is over. Closed with unread data, the kernel would send a reset, which may overtake the
    response."""

    def __init__(self, transport: asyncio.Transport, lost: Callable[[Exception | None], None]) -> None:
        self._transport = transport
        self._on_lost = lost
        self._loop = asyncio.get_running_loop()
        self._last_read = self._loop.time()
        self._ends = self._last_read + LINGERING_TIME
        self._unsent = transport.get_write_buffer_size() + 1  # bytes, at the last check
        self._timer = self._loop.call_later(LINGERING_TIMEOUT, self._check)
        transport.set_protocol(self)
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()

    def data_received(self, _data: bytes) -> None:
        """Discard it."""
        self._last_read = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol that had the connection."""
        self._timer.cancel()
        self._on_lost(exc)

    def _check(self) -> None:
        left = self._transport.get_write_buffer_size()
        if 0 < left < self._unsent:  # the client reads the response slowly
            self._last_read = self._loop.time()
            self._ends = self._last_read + LINGERING_TIME
        self._unsent = left
        until = min(self._last_read + LINGERING_TIMEOUT, self._ends)
        if self._loop.time() < until:
            self._timer = self._loop.call_at(until, self._check)
        else:
            abort(self._transport)
