"""Connections that are not waited for for ever: neither for what a client sends, nor for it to read what it is sent."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pocketvision.serving.stalled_writes import StalledWrites


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a limit to patience: a connection on which no request is being worked on has `header_timeout` seconds to
    send the next one's headers, and the rest of a body that was refused. uvicorn alone waits for ever (slow loris). A client has
    `write_timeout` seconds to read some of what it is sent."""

    header_timeout = 10.0
    write_timeout = 20.0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        self._stalled = StalledWrites(self.loop, transport, self.write_timeout)
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

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._stalled.begin()

    def resume_writing(self) -> None:
        """It reads."""
        self._stalled.end()
        super().resume_writing()

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        self._stalled.hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._stop_waiting()
        self._stalled.end()
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


class PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose client has `write_timeout` seconds to read some of what it is sent."""

    write_timeout = 20.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection."""
        super().connection_made(transport)
        self._stalled = StalledWrites(self.loop, self.transport, self.write_timeout)

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        self._stalled.hurry()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._stalled.begin()

    def resume_writing(self) -> None:
        """It reads."""
        self._stalled.end()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._stalled.end()
        super().connection_lost(exc)
