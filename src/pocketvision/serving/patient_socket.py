"""WebSockets that finish their work when the server stops, and whose clients can not keep the event loop to themselves."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Request

from pocketvision.serving.keys import RateLimit
from pocketvision.serving.problems import Problem
from pocketvision.serving.stalled_writes import StalledWrites, cut

FINISHES = "finishes"  # what a WebSocket's route writes into the connection's state when it closes by itself as the server stops
LINGER = 2.0  # seconds for a client to read why it was closed
MAX_HEADER_LINES, MAX_HEADER_LINE = 128, 8192  # of a request: the library's own limits
VERSION = "13"
INVALID_TEXT, POLICY, RESTART = 1007, 1008, 1012  # codes of a close; the last is for everybody when the server stops

SLICE = 8192
"""Bytes that are parsed at once. The parser is Python, and a frame may have 6 bytes: at 256 KiB at once, four clients that sent
nothing but such kept /health waiting for up to 5 s."""
SMALL = 256
"""Bytes of a fragment that counts as small. Clients that send a message in parts send kilobytes in each."""
SMALL_FRAMES = 100.0
"""Small fragments, pings and pongs that a client may send in a second."""
FRAGMENTS = 1024
"""Of one message before they are joined: each is an object of its own."""


class PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket that is closed by its route when the server stops, once what it has read is answered; uvicorn alone would
    close it at once. One whose client reads nothing of what it is sent for `write_timeout` seconds is cut, where uvicorn
    would keep it for ever. What comes is parsed a slice at a time, and no further while a message waits for the route."""

    write_timeout = 20.0
    refused: Problem | None = None
    _deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection."""
        super().connection_made(transport)
        self._stalled = StalledWrites(self.loop, self.transport, self.write_timeout)
        self._unparsed = bytearray()
        self._parsing: asyncio.Handle | None = None
        self._small = RateLimit(SMALL_FRAMES)

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
        self._stalled.gone()
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, but forget what comes after the end."""
        if not self.handshake_initiated:
            super().data_received(data)
        elif not self._deaf:
            self._unparsed += data
            if self._parsing is None:
                self._parse()

    def _parse(self) -> None:
        """Take a slice, and let others have their turn before the next."""
        self._parsing = None
        piece = bytes(self._unparsed[:SLICE])
        del self._unparsed[:SLICE]
        super().data_received(piece)
        if self._deaf or self.transport.is_closing():
            self._forget()
        elif self._unparsed:
            self.transport.pause_reading()
            if not self.read_paused:
                self._parsing = self.loop.call_soon(self._parse)
        elif not self.read_paused:
            self.transport.resume_reading()

    def _forget(self) -> None:
        self._unparsed.clear()
        if self._parsing is not None:
            self._parsing.cancel()
            self._parsing = None

    async def receive(self) -> ASGIReceiveEvent:
        """The route's next message. When it has had all, more is parsed, or read."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self._go_on()
        return message

    def _go_on(self) -> None:
        self.read_paused = False
        if not self._unparsed:
            self.transport.resume_reading()
        elif self._parsing is None:
            self._parsing = self.loop.call_soon(self._parse)

    def handle_connect(self, event: Request) -> None:
        """Begin, or say in `refused` why this is no beginning: the answer is the HTTP connection's to give."""
        self.refused = self._wrong_with(event)
        if self.refused is None:
            super().handle_connect(event)

    def _wrong_with(self, request: Request) -> Problem | None:
        versions = request.headers.get_all("Sec-WebSocket-Version")
        if versions != [VERSION]:
            spoken = {"Sec-WebSocket-Version": VERSION, "Upgrade": "websocket"}
            return Problem(426, "websocket-version", f"The WebSocket's version must be {VERSION}.", spoken)
        response = self.conn.accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return None
        detail = response.body.decode("utf-8", "replace").strip().partition("\n")[0][:200]
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return Problem(405, "method-not-allowed", detail, {"Allow": "GET"})
        return Problem(400, "websocket-handshake", detail)

    def handle_cont(self, event: Frame) -> None:
        """A part of a message. Those that are empty are not kept, and there may not be many small ones."""
        if not event.fin and self._too_many(event):
            return
        if event.data or event.fin:
            super().handle_cont(event)
        if len(self.frames) > FRAGMENTS:
            self.frames = [b"".join(self.frames)]

    def handle_ping(self) -> None:
        """Answer, unless that is all there is to do."""
        if not self._too_many(None):
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """An answer to a ping, or to none."""
        if not self._too_many(None):
            super().handle_pong(event)

    def _too_many(self, fragment: Frame | None) -> bool:
        """Whether there are too many small frames. The connection is closed then."""
        if self._deaf:
            return True
        if fragment is not None and len(fragment.data) >= SMALL:
            return False
        if self._small.wait_for("") == 0:
            return False
        self._end(POLICY, "too many small frames")
        return True

    def send_receive_event_to_app(self) -> None:
        """Hand a message to the route. Text that is none ends the connection, and is nothing for the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.frames = []
                self._end(INVALID_TEXT, "")
                return
        super().send_receive_event_to_app()

    def _end(self, code: int, reason: str) -> None:
        with suppress(InvalidState):
            self.conn.send_close(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """A message is too long, or no WebSocket's. The client hears the code although it still sends: see Lingering."""
        ended = self.conn.close_sent
        code, reason = (ended.code, ended.reason) if ended is not None else (1002, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._deaf = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(LINGER, cut, self.transport)

    def shutdown(self) -> None:
        """The server stops."""
        # Refused before it had a scope, a connection may still be here.
        state: dict[str, Any] = getattr(self, "scope", {}).get("state", {})
        if state.get(FINISHES) and not self.close_sent and not self.disconnected:
            self._stalled.hurry()
            self.close_timeout = 1.0  # what the client may take to agree to the end
            return
        super().shutdown()
        self._stalled.hurry()

    async def run_asgi(self) -> None:
        """Run the route, and leave no connection behind."""
        await super().run_asgi()
        self.loop.call_later(self.close_timeout + 1, cut, self.transport)

    async def send(self, message: ASGISendEvent) -> None:
        """Send one of the route's messages. A refusal that was told is the end of the handshake: uvicorn would miss it."""
        await super().send(message)
        if message["type"] == "websocket.close" and self._unparsed:
            self._go_on()  # the client's own close may be in it
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        """No answer to a ping: what could not be sent so far will not be."""
        super().keepalive_timeout()
        self.loop.call_later(1, cut, self.transport)
