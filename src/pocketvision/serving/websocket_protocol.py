"""WebSockets that drain when the server stops, with limits so that one client can not occupy the event loop."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Request

from pocketvision.serving.keys import TokenBuckets
from pocketvision.serving.problems import Problem
from pocketvision.serving.write_timeout import WriteTimeout, abort

DRAINS = "drains"  # key of the connection's state: its route closes it by itself when the server stops
LINGERING_TIMEOUT = 2.0  # seconds for a client to read the close frame
MAX_HEADER_LINES, MAX_HEADER_LINE = 128, 8192  # of a request: the library's own limits
VERSION = "13"
INVALID_TEXT, POLICY, RESTART = 1007, 1008, 1012  # codes of a close; the last is for everybody when the server stops

PARSE_SLICE = 8192
"""Bytes that are parsed at once. The parser is Python, and a frame may have 6 bytes: at 256 KiB at once, four clients that sent
nothing but such kept /health waiting for up to 5 s."""
SMALL_FRAME = 256
"""Bytes of a fragment that counts as small. Clients that send a message in parts send kilobytes in each."""
MAX_SMALL_FRAMES = 100.0
"""Small fragments, pings and pongs that a client may send in a second."""
MAX_FRAGMENTS = 1024
"""Of one message before they are joined: each is an object of its own."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that its route closes when the server stops, once what it has read is answered (uvicorn alone closes it at
    once). It is aborted when the client reads nothing for `write_timeout` seconds. What comes is parsed a slice at a time, and no
    further while a message waits for the route (backpressure)."""

    write_timeout = 20.0
    refused: Problem | None = None
    _discarding = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection."""
        super().connection_made(transport)
        self._write_timeout = WriteTimeout(self.loop, self.transport, self.write_timeout)
        self._unparsed = bytearray()
        self._parsing: asyncio.Handle | None = None
        self._small_frames = TokenBuckets(MAX_SMALL_FRAMES)

    def pause_writing(self) -> None:
        """Start the write timeout."""
        super().pause_writing()
        self._write_timeout.start()

    def resume_writing(self) -> None:
        """Stop the write timeout: the client reads."""
        self._write_timeout.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timers."""
        self._write_timeout.cancel_all()
        self._discard_buffer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; discard what comes after the close."""
        if not self.handshake_initiated:
            super().data_received(data)
        elif not self._discarding:
            self._unparsed += data
            if self._parsing is None:
                self._parse()

    def _parse(self) -> None:
        """Take a slice, and let others have their turn before the next."""
        self._parsing = None
        piece = bytes(self._unparsed[:PARSE_SLICE])
        del self._unparsed[:PARSE_SLICE]
        super().data_received(piece)
        if self._discarding or self.transport.is_closing():
            self._discard_buffer()
        elif self._unparsed:
            self.transport.pause_reading()
            if not self.read_paused:
                self._parsing = self.loop.call_soon(self._parse)
        elif not self.read_paused:
            self.transport.resume_reading()

    def _discard_buffer(self) -> None:
        self._unparsed.clear()
        if self._parsing is not None:
            self._parsing.cancel()
            self._parsing = None

    async def receive(self) -> ASGIReceiveEvent:
        """The route's next message. When it has had all, more is parsed, or read."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self._resume_parsing()
        return message

    def _resume_parsing(self) -> None:
        self.read_paused = False
        if not self._unparsed:
            self.transport.resume_reading()
        elif self._parsing is None:
            self._parsing = self.loop.call_soon(self._parse)

    def handle_connect(self, event: Request) -> None:
        """Begin, or say in `refused` why this is no beginning: the answer is the HTTP connection's to give."""
        self.refused = self._handshake_problem(event)
        if self.refused is None:
            super().handle_connect(event)

    def _handshake_problem(self, request: Request) -> Problem | None:
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
        if not event.fin and self._exceeds_frame_rate(event):
            return
        if event.data or event.fin:
            super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self.frames = [b"".join(self.frames)]

    def handle_ping(self) -> None:
        """Answer, unless there are too many."""
        if not self._exceeds_frame_rate(None):
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Ignore it, unless there are too many."""
        if not self._exceeds_frame_rate(None):
            super().handle_pong(event)

    def _exceeds_frame_rate(self, fragment: Frame | None) -> bool:
        """Whether there are too many small frames. The connection is closed then."""
        if self._discarding:
            return True
        if fragment is not None and len(fragment.data) >= SMALL_FRAME:
            return False
        if self._small_frames.try_acquire("") == 0:
            return False
        self._fail(POLICY, "too many small frames")
        return True

    def send_receive_event_to_app(self) -> None:
        """Hand a message to the route. Text that is no UTF-8 closes the connection, without a traceback in the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.frames = []
                self._fail(INVALID_TEXT, "")
                return
        super().send_receive_event_to_app()

    def _fail(self, code: int, reason: str) -> None:
        with suppress(InvalidState):
            self.conn.send_close(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """A message is too long, or no WebSocket's. The client gets the code although it still sends: see LingeringClose."""
        ended = self.conn.close_sent
        code, reason = (ended.code, ended.reason) if ended is not None else (1002, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._discarding = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(LINGERING_TIMEOUT, abort, self.transport)

    def shutdown(self) -> None:
        """The server stops."""
        # Refused before it had a scope, a connection may still be here.
        state: dict[str, Any] = getattr(self, "scope", {}).get("state", {})
        if state.get(DRAINS) and not self.close_sent and not self.disconnected:
            self._write_timeout.shorten()
            self.close_timeout = 1.0  # what the client may take to agree to the end
            return
        super().shutdown()
        self._write_timeout.shorten()

    async def run_asgi(self) -> None:
        """Run the route, and leave no connection behind."""
        await super().run_asgi()
        self.loop.call_later(self.close_timeout + 1, abort, self.transport)

    async def send(self, message: ASGISendEvent) -> None:
        """Send one of the route's messages. A refusal that was sent ends the handshake, which uvicorn would miss."""
        await super().send(message)
        if message["type"] == "websocket.close" and self._unparsed:
            self._resume_parsing()  # the client's own close may be in it
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        """No answer to a ping: what could not be sent so far will not be."""
        super().keepalive_timeout()
        self.loop.call_later(1, abort, self.transport)
