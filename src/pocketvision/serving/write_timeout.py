"""A timeout for clients that do not read what they are sent."""

import asyncio
from contextlib import suppress

SHUTDOWN_WRITE_TIMEOUT = 2.0
"""Seconds of the timeout when the server stops."""


def abort(transport: asyncio.Transport) -> None:
    """Abort a connection and drop its buffer. It may be closed already, which Python 3.11's asyncio does not expect."""
    with suppress(AttributeError):
        transport.abort()


class WriteTimeout:
    """Aborts a connection whose client reads nothing of its buffer during `timeout` seconds.

    Closing is not enough: a transport sends its buffer first, and waits for the client as long as that keeps its end open.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeout: float) -> None:
        self._loop = loop
        self._transport = transport
        self._timeout = timeout
        self._stopping = False
        self._waiting = 0  # bytes when the timer was set
        self._timer: asyncio.TimerHandle | None = None
        self._last: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The buffer is above the high-water mark (64 KiB)."""
        self.cancel()
        self._waiting = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._timeout, self._check)

    def cancel(self) -> None:
        """The buffer is below the low-water mark."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def start_closing(self) -> None:
        """The connection is being closed: what is left has to be read in time too."""
        if self._last is None:
            self._last = self._loop.call_later(self._timeout, abort, self._transport)

    def shorten(self) -> None:
        """The server stops: from now on it waits for SHUTDOWN_WRITE_TIMEOUT at most."""
        self._timeout, self._stopping = min(self._timeout, SHUTDOWN_WRITE_TIMEOUT), True
        if self._timer is not None:
            self.start()
        if self._last is not None:
            self._last.cancel()
            self._last = None
        if self._transport.is_closing():
            self.start_closing()

    def cancel_all(self) -> None:
        """The connection is closed."""
        self.cancel()
        if self._last is not None:
            self._last.cancel()

    def _check(self) -> None:
        """Cut, unless some was read meanwhile: a slow client is none that reads nothing, as long as there is time."""
        if not self._stopping and self._transport.get_write_buffer_size() < self._waiting:
            self.start()
        else:
            abort(self._transport)
