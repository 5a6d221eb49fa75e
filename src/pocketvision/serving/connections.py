"""Connections that are not waited for for ever, neither for what a client sends nor for it to read what it is sent; and
WebSockets that finish their work when the server stops."""

import asyncio
import json
import logging
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pocketvision.serving.last_call import LastCallProtocol
from pocketvision.serving.problems import MEDIA_TYPE, Problem
from pocketvision.serving.stalled_writes import StalledWrites, cut
from pocketvision.serving.unchunked import Unchunked

access = logging.getLogger("pocketvision.access")

LINGER = 2.0  # seconds for a client to read why it was refused
MAX_HEADERS = 32 * 1024  # bytes of a request's headers
MAX_HEADER_LINES, MAX_HEADER_LINE = 128, 8192  # of a WebSocket's request: the library's own limits
FINISHES = "finishes"  # what a WebSocket's route writes into the connection's state when it closes by itself as the server stops


def headers_too_large() -> Problem:
    """A request whose headers are more than is taken."""
    detail = f"The headers may have {MAX_HEADERS:,} bytes; those of a WebSocket {MAX_HEADER_LINES} lines of {MAX_HEADER_LINE:,}."
    return Problem(431, "headers-too-large", detail)


class _Deaf(asyncio.Protocol):
    """What a connection is handed to after its last answer: what the client still sends is read and forgotten until it closes,
    for `LINGER` seconds at most. Closed with something unread, the system would send a reset, which may overtake the answer."""

    def __init__(self, transport: asyncio.Transport, lost: Callable[[Exception | None], None]) -> None:
        self._lost = lost
        self._timer = asyncio.get_running_loop().call_later(LINGER, cut, transport)
        transport.set_protocol(self)
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol that had the connection."""
        self._timer.cancel()
        self._lost(exc)


class _Last:
    """The connection of an answer after which none comes, though its client sends on: it is closed as `_Deaf` does it."""

    def __init__(self, inner: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = inner.write
        self.is_closing = inner.is_closing
        self.close = close


class PatientProtocol(LastCallProtocol):
    """HTTP/1.1 with a limit to patience: a connection on which no request is being worked on has `header_timeout` seconds to
    send the next one's headers, and the rest of a body that was refused. uvicorn alone waits for ever (slow loris). A client has
    `write_timeout` seconds to read some of what it is sent. What comes between bodies (headers, chunks' sizes and extensions,
    trailers) is kept by the parser while it is incomplete: it is refused when it goes on for more than MAX_HEADERS bytes.

    One request at a time: what comes before the one before it is answered is thrown away, and the connection is closed after
    that answer, as RFC 9112 (9.3.2) lets a server do. Hardly a client does so, and one that wished to could have a
    server keep thousands of requests for one connection.
    """

    header_timeout = 10.0
    write_timeout = 20.0
    _patience: asyncio.TimerHandle | None = None
    _in_between = 0  # bytes that were read and are neither a body nor complete
    _in_message = False  # its headers are complete, its body is not
    _hasty = False  # another request came too early
    _wishes = False  # for another protocol, which is not spoken here
    _data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        self._stalled = StalledWrites(self.loop, transport, self.write_timeout)
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read, as long as it comes to something."""
        if self._hasty:
            return
        self._in_between += len(data)
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._in_between > MAX_HEADERS and not self._hasty and self.transport.get_protocol() is self:
            self._refuse(headers_too_large())

    def on_message_begin(self) -> None:
        """A request begins; if that is too early, the one that is being answered is the last."""
        if self.cycle is not None and not self.cycle.response_complete:
            if not self._hasty:
                self._hasty, self.cycle.keep_alive = True, False
                self.cycle.transport = cast(asyncio.Transport, _Last(self.cycle.transport, self._leave_hasty))
            return
        self._in_message = False
        super().on_message_begin()

    def _leave_hasty(self) -> None:
        if self.transport.get_protocol() is self and not self.transport.is_closing():
            _Deaf(self.transport, self.connection_lost)

    def on_url(self, url: bytes) -> None:
        """Keep a part of the target."""
        if not self._hasty:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; but not a trailer, which would join those that were looked at before."""
        if not self._in_message and not self._hasty:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting: a request is there. One without a host, or with several, is none (RFC 9112, 3.2)."""
        if self._hasty:
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        version = self.parser.get_http_version()
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise ValueError("expected one host")
        self._in_between, self._in_message = 0, True
        self._wishes = bool(self.parser.should_upgrade()) and not self._should_upgrade()
        if self._wishes:
            return
        super().on_headers_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
            if version == "1.0":
                self.cycle.transport = cast(asyncio.Transport, Unchunked(self.transport))
                self.cycle.waiting_for_100_continue = False  # which HTTP/1.0 does not know (RFC 9110, 10.1.1)

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._in_between = 0
        if not self._hasty:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come to its end."""
        self._in_between, self._in_message = 0, False
        if not self._hasty and not self._wishes:
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Take a request whose wish for another protocol is not granted as one without it (RFC 9110, 7.8): Java's client has that
        wish in every one. The parser has left the body unread, so the request is read anew by another parser."""
        if self._hasty:
            return
        ended = sys.exception()  # uvicorn calls this where it handles what the parser raised
        method = self.parser.get_method()
        if method == b"CONNECT" or not isinstance(ended, httptools.HttpParserUpgrade):
            self._refuse(_broken())
            return
        kept = [(name, value) for name, value in self.headers if name not in (b"upgrade", b"connection")]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            kept.append((b"connection", b"close"))
        head = b"".join(b"%s: %s\r\n" % each for each in kept)
        version = self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn's own parser has it: what comes too early is no error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._data = b"%s %s HTTP/%s\r\n%s\r\n%s" % (method, self.url, version, head, self._data[ended.args[0] :])
        super().data_received(self._data)

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from here on."""
        self._stop_waiting()
        super().handle_websocket_upgrade()
        opened = self.transport.get_protocol()
        if isinstance(opened, PatientSocket) and not opened.handshake_initiated:
            # Its parser of headers, which is another and has limits of its own, took them for none; it would keep the connection.
            self.connections.discard(opened)
            self.connections.add(self)
            self.transport.set_protocol(self)
            self._refuse(headers_too_large() if _beyond_websockets(self.headers) else _broken())

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Refuse what is no HTTP, with a document, and so that the client can read it."""
        if not self._hasty:
            self._refuse(_broken())

    def _refuse(self, problem: Problem) -> None:
        """Say why, unless an answer has begun or was given, and read no more."""
        self._stop_waiting()
        answering = self.cycle is not None and not self.cycle.response_complete
        answered = self.cycle is not None and self.cycle.response_complete and self._in_message
        if not answered and not (answering and self.cycle.response_started):
            request_id = secrets.token_hex(8)
            body = json.dumps(problem.document(request_id)).encode()
            head = (
                f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
            self._log(problem, request_id)
        if answering:
            self.cycle.disconnected = True  # the rest of its body will not come
            self.cycle.message_event.set()
        _Deaf(self.transport, self.connection_lost)

    def _log(self, problem: Problem, request_id: str) -> None:
        """The gate, which logs all others, never sees these."""
        fields = {
            "request_id": request_id,
            "client": self.client[0] if self.client else "",
            "key": "",
            "method": "-",
            "path": "",
            "status": problem.status,
            "ms": 0.0,
            "problem": problem.kind,
        }
        access.info("%s", "request", extra={"request": fields})

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._wait()
        super().on_response_complete()
        if self.transport.is_closing():
            self._stalled.leave()

    def eof_received(self) -> None:
        """The client sends no more, and asyncio closes the connection once all is sent."""
        super().eof_received()
        self._stalled.leave()

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
        self._stalled.gone()
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
        self._stalled.leave()


class PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket that is closed by its route when the server stops, once what it has read is answered; uvicorn alone would
    close it at once. And one whose client reads nothing of what it is sent for `write_timeout` seconds is cut, where uvicorn
    would keep it for ever."""

    write_timeout = 20.0
    _deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection."""
        super().connection_made(transport)
        self._stalled = StalledWrites(self.loop, self.transport, self.write_timeout)

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
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, but forget what comes after the end."""
        if not self._deaf:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """A message is too long, or no WebSocket's. The client hears the code although it still sends: see `_Deaf`."""
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
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        """No answer to a ping: what could not be sent so far will not be."""
        super().keepalive_timeout()
        self.loop.call_later(1, cut, self.transport)


def _broken() -> Problem:
    return Problem(400, "bad-request", "What was sent is not HTTP/1.1.")


def _beyond_websockets(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether headers are more than the WebSocket library reads: 128 of 8 KiB each."""
    return len(headers) > MAX_HEADER_LINES or any(
        len(name) + len(value) + 4 > MAX_HEADER_LINE for name, value in headers
    )
