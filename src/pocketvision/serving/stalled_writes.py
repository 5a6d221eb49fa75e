"""Clients that do not read what they are sent, and hold their connections."""

import asyncio

WHEN_STOPPING = 2.0
"""Seconds that a client which does not read is waited for when the server stops."""


class StalledWrites:
    """Cuts a connection on which more waits to be sent than its transport likes (64 KiB) for `timeout` seconds.

    Closing it would not do: a transport that is closed sends first what it holds, and waits for a client that reads nothing
    for as long as that keeps its end open. What is cut is thrown away.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeout: float) -> None:
        self._loop = loop
        self._transport = transport
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Too much waits."""
        self.end()
        self._timer = self._loop.call_later(self._timeout, self._transport.abort)

    def hurry(self) -> None:
        """The server stops: from now on it waits for WHEN_STOPPING at most."""
        self._timeout = min(self._timeout, WHEN_STOPPING)
        if self._timer is not None:
            self.begin()

    def end(self) -> None:
        """Most of it was read, or the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
