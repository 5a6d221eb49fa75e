"""Clients that do not read what they are sent, and hold their connections."""

import asyncio
from contextlib import suppress

WHEN_STOPPING = 2.0
"""Seconds that a client which does not read is waited for when the server stops."""


def cut(transport: asyncio.Transport) -> None:
    """Throw a connection away, with what it holds. It may be closed already, which Python 3.11's asyncio does not expect."""
    with suppress(AttributeError):
        transport.abort()


class StalledWrites:
    """Cuts a connection whose client reads nothing of what waits for it during `timeout` seconds.

    Closing it would not do: a transport that is closed sends first what it holds, and waits for a client that reads nothing
    for as long as that keeps its end open.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeout: float) -> None:
        self._loop = loop
        self._transport = transport
        self._timeout = timeout
        self._stopping = False
        self._waiting = 0  # bytes when the timer was set
        self._timer: asyncio.TimerHandle | None = None
        self._last: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """More waits to be sent than the transport likes (64 KiB)."""
        self.end()
        self._waiting = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._timeout, self._look)

    def end(self) -> None:
        """Most of it was read."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def leave(self) -> None:
        """The connection is being closed: what little is left has to be read in time too."""
        if self._last is None:
            self._last = self._loop.call_later(self._timeout, cut, self._transport)

    def hurry(self) -> None:
        """The server stops: from now on it waits for WHEN_STOPPING at most."""
        self._timeout, self._stopping = min(self._timeout, WHEN_STOPPING), True
        if self._timer is not None:
            self.begin()
        if self._last is not None:
            self._last.cancel()
            self._last = None
        if self._transport.is_closing():
            self.leave()

    def gone(self) -> None:
        """There is no connection any more."""
        self.end()
        if self._last is not None:
            self._last.cancel()

    def _look(self) -> None:
        """Cut, unless some was read meanwhile: a slow client is none that reads nothing, as long as there is time."""
        if not self._stopping and self._transport.get_write_buffer_size() < self._waiting:
            self.begin()
        else:
            cut(self._transport)
