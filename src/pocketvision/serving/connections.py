"""Connections that are not waited for for ever, and WebSockets that finish their work when the server stops."""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEADERS = 32 * 1024  # bytes of a request's headers
FINISHES = "finishes"  # what a WebSocket's route writes into the connection's state when it closes by itself as the server stops


class PatientProtocol(H11Protocol):
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


class PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket that is closed by its route when the server stops, once what it has read is answered; uvicorn alone would
    close it at once. And one whose client does not read what it is sent is given up, where uvicorn would keep it for ever."""

    def shutdown(self) -> None:
        """The server stops."""
        state: dict[str, Any] = self.scope.get("state", {}) if self.handshake_initiated else {}
        if state.get(FINISHES) and not self.close_sent and not self.disconnected:
            self.close_timeout = 1.0  # what the client may take to agree to the end
            return
        super().shutdown()

    async def run_asgi(self) -> None:
        """Run the route, and leave no connection behind."""
        await super().run_asgi()
        self.loop.call_later(self.close_timeout + 1, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        """Send one of the route's messages. A refusal that was told is the end of the handshake: uvicorn would miss it."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        """No answer to a ping: what could not be sent so far will not be."""
        super().keepalive_timeout()
        self.loop.call_later(1, self.transport.abort)
