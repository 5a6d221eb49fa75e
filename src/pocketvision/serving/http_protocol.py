"""HTTP/1.1 with timeouts for reading and writing, limits of headers and connections, and strict framing."""

import asyncio
import json
import logging
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools

from pocketvision.serving.graceful_shutdown import GracefulShutdownProtocol
from pocketvision.serving.lingering_close import LingeringClose
from pocketvision.serving.problems import MEDIA_TYPE, Problem, retry_after
from pocketvision.serving.unchunked import Unchunked
from pocketvision.serving.websocket_protocol import MAX_HEADER_LINE, MAX_HEADER_LINES, WebSocketProtocol
from pocketvision.serving.write_timeout import WriteTimeout

access = logging.getLogger("pocketvision.access")

MAX_HEADERS = 32 * 1024  # bytes of a request's headers; its target may have as many
EXCESS_ANSWERED = 64  # connections above the limit that get a 503; others are closed at once


def headers_too_large() -> Problem:
    """A request whose headers are more than is taken."""
    detail = f"The headers may have {MAX_HEADERS:,} bytes; those of a WebSocket {MAX_HEADER_LINES} lines of {MAX_HEADER_LINE:,}."
    return Problem(431, "headers-too-large", detail)


class _ResponseTransport:
    """The transport as a response uses it. close: called after the last response of the connection."""

    def __init__(self, inner: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = inner.write
        self.is_closing = inner.is_closing
        self.close = close


class HttpProtocol(GracefulShutdownProtocol):
    """HTTP/1.1 with timeouts. A connection has `header_timeout` seconds to send a request's headers, and the rest of a body
    that was refused (uvicorn alone waits for ever: slow loris), `write_timeout` seconds to read some of what it is sent, and is
    kept open for `keep_alive` seconds between requests. The
    parser keeps what comes between bodies (headers, chunk sizes and extensions, trailers) while it is incomplete: more than
    MAX_HEADERS bytes of it are refused.

    No pipelining: a request that comes before the one before it is answered is discarded, and the connection is closed after that
    answer (RFC 9112, 9.3.2). A client could otherwise have the server keep thousands of requests for one connection.
    """

    header_timeout = 10.0
    keep_alive = 5.0
    write_timeout = 20.0
    max_connections = 1024
    on_refused: Callable[[Problem], None] = staticmethod(lambda _: None)
    _idle_timer: asyncio.TimerHandle | None = None
    _between_requests = False
    _head_bytes = 0  # bytes that were read and are neither a body nor complete
    _in_body = False  # its headers are complete, its body is not
    _pipelined = False  # another request came before this one's response
    _ignores_upgrade = False  # it asks for a protocol that is not spoken here
    _problem: Problem | None = None  # found in a callback of the parser
    _data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the idle timer, or refuse a connection above the limit."""
        self._write_timeout = WriteTimeout(self.loop, transport, self.write_timeout)
        super().connection_made(transport)
        if len(self.connections) <= self.max_connections:
            self._start_idle_timer(self.header_timeout)
        elif len(self.connections) <= self.max_connections + EXCESS_ANSWERED:
            detail = f"The server has {self.max_connections:,} connections, which is all it takes."
            self._refuse(Problem(503, "too-many-connections", detail, retry_after(1)))
        else:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse headers that are too large."""
        if self._pipelined or self.transport.is_closing():
            return
        if self._between_requests:
            self._between_requests = False
            self._start_idle_timer(self.header_timeout)
        self._head_bytes += len(data)
        self._data = data
        super().data_received(data)
        self._data = b""
        target = min(len(getattr(self, "url", b"")), MAX_HEADERS) if self._receiving_head else 0
        if self._head_bytes > MAX_HEADERS + target and not self._pipelined and self.transport.get_protocol() is self:
            self._refuse(headers_too_large())

    def on_message_begin(self) -> None:
        """A request begins; where it is pipelined, the one in progress is the last."""
        if self.cycle is not None and not self.cycle.response_complete:
            if not self._pipelined:
                self._pipelined, self.cycle.keep_alive = True, False
            return
        self._in_body = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Keep a part of the target."""
        if self._pipelined:
            return
        super().on_url(url)
        if len(self.url) > MAX_HEADERS:
            self._problem = Problem(414, "target-too-long", f"The target may have {MAX_HEADERS:,} bytes.")
            raise ValueError(self._problem.detail)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; not a trailer, which would join the headers after they were checked."""
        if not self._in_body and not self._pipelined:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the idle timer: a request is there."""
        if self._pipelined:
            return
        version = self.parser.get_http_version()
        self._check_framing(version)
        self._head_bytes, self._in_body = 0, True
        self._ignores_upgrade = bool(self.parser.should_upgrade()) and not self._should_upgrade()
        if self._ignores_upgrade:
            return
        if self.url.count(b"/") == 2 and b"://" in self.url:  # of a proxy, without a path (RFC 9112, 3.2.2)
            self.url += b"/"
        super().on_headers_complete()
        if self.cycle is None or self.cycle.response_complete:
            return
        self._cancel_idle_timer()
        answer = _ResponseTransport(self.transport, self._close_after_response)
        self.cycle.transport = cast(asyncio.Transport, answer)
        if version == "1.0":
            self.cycle.transport = cast(asyncio.Transport, Unchunked(self.cycle.transport))
            self.cycle.waiting_for_100_continue = False  # which HTTP/1.0 does not know (RFC 9110, 10.1.1)
        elif self.cycle.waiting_for_100_continue:
            answer.write = self._write_before_continue

    def _check_framing(self, version: str) -> None:
        """Raise ValueError unless it is HTTP/1 with one host, and its length is unambiguous (RFC 9112, 3.2 and 6)."""
        if version not in ("1.0", "1.1"):
            raise ValueError("expected HTTP/1")
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise ValueError("expected one host")
        if b"transfer-encoding" in names:
            codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
            if codings != [b"chunked"] or version == "1.0":
                raise ValueError("expected chunks alone")

    def _should_upgrade(self) -> bool:
        """Whether a WebSocket is asked for, on however many lines. HTTP/1.0 knows no other protocol (RFC 9110, 7.8)."""
        if self.parser.get_http_version() != "1.1":
            return False
        tokens = {
            (name, token.strip().lower())
            for name, value in self.headers
            if name in (b"connection", b"upgrade")
            for token in value.split(b",")
        }
        return (b"connection", b"upgrade") in tokens and (b"upgrade", b"websocket") in tokens

    def _write_before_continue(self, data: bytes | bytearray | memoryview) -> None:
        """Write for a client that expects 100 (Continue) before it sends its body. After a final response
        instead, the body may or may not follow: nothing more can be read from this connection (RFC 9110, 10.1.1)."""
        cast(_ResponseTransport, self.cycle.transport).write = self.transport.write
        if self._in_body and self.cycle.keep_alive and not bytes(data).startswith(b"HTTP/1.1 100 "):
            self.cycle.keep_alive = False
            data = bytes(data).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
        self.transport.write(data)

    def _close_after_response(self) -> None:
        """Close after the last response: by a lingering close where the client may still send."""
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        if self._pipelined or self._in_body:
            LingeringClose(self.transport, self.connection_lost)
        else:
            self.transport.close()
            self._write_timeout.start_closing()

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._head_bytes = 0
        if not self._pipelined:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come to its end."""
        self._head_bytes, self._in_body = 0, False
        if not self._pipelined and not self._ignores_upgrade:
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Treat a request with an upgrade that is not supported as one without it (RFC 9110, 7.8): Java's client sends one with
        every request. The parser has left the body unread, so the request is parsed anew by another parser."""
        if self._pipelined:
            return
        ended = sys.exception()  # uvicorn calls this where it handles what the parser raised
        method = self.parser.get_method()
        if method == b"CONNECT" or not isinstance(ended, httptools.HttpParserUpgrade):
            self._refuse(_bad_request())
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
        """Hand the connection to the WebSocket protocol."""
        self._cancel_idle_timer()
        kept = [each for each in self.headers if each[0] not in (b"connection", b"upgrade")]
        self.scope["headers"] = [*kept, (b"connection", b"upgrade"), (b"upgrade", b"websocket")]
        super().handle_websocket_upgrade()
        opened = self.transport.get_protocol()
        if isinstance(opened, WebSocketProtocol) and not opened.handshake_initiated:
            # It is no handshake, or its parser of headers, which is another and has limits of its own, took them for none.
            self.connections.discard(opened)
            self.connections.add(self)
            self.transport.set_protocol(self)
            large = headers_too_large() if _exceeds_websocket_limits(self.headers) else _bad_request()
            self._refuse(opened.refused or large)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Refuse what is no HTTP, with a problem document and a lingering close."""
        if not self._pipelined:
            self._refuse(self._problem or _bad_request())

    def _refuse(self, problem: Problem) -> None:
        """Send the problem, unless a response has begun or was given, and read no more."""
        self._cancel_idle_timer()
        answering = self.cycle is not None and not self.cycle.response_complete
        answered = self.cycle is not None and self.cycle.response_complete and self._in_body
        if not answered and not (answering and self.cycle.response_started):
            request_id = secrets.token_hex(8)
            body = json.dumps(problem.document(request_id)).encode()
            headers = {
                **problem.headers,
                "Content-Type": MEDIA_TYPE,
                "Content-Length": len(body),
                "X-Request-ID": request_id,
                "Connection": "close",
            }
            head = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
            head += "".join(f"{name.lower()}: {value}\r\n" for name, value in headers.items())
            self.transport.write(head.encode("ascii") + b"\r\n" + body)
            self._log(problem, request_id)
            self.on_refused(problem)
        if answering:
            self.cycle.disconnected = True  # the rest of its body will not come
            self.cycle.message_event.set()
        LingeringClose(self.transport, self.connection_lost)

    def _log(self, problem: Problem, request_id: str) -> None:
        """For the access log: the middleware never sees these requests."""
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
        """Start the idle timer for the next request, if there is to be one."""
        if self.transport.get_protocol() is not self:
            self.server_state.total_requests += 1
            return
        self._between_requests = not self._in_body
        self._start_idle_timer(self.keep_alive if self._between_requests else self.header_timeout)
        super().on_response_complete()
        if self.transport.is_closing():
            self._write_timeout.start_closing()

    def eof_received(self) -> None:
        """The client sends no more, and asyncio closes the connection once all is sent."""
        super().eof_received()
        self._write_timeout.start_closing()

    def pause_writing(self) -> None:
        """Start the write timeout."""
        super().pause_writing()
        self._write_timeout.start()

    def resume_writing(self) -> None:
        """Stop the write timeout: the client reads."""
        self._write_timeout.cancel()
        super().resume_writing()

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        self._write_timeout.shorten()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timers."""
        self._cancel_idle_timer()
        self._write_timeout.cancel_all()
        super().connection_lost(exc)

    def _start_idle_timer(self, seconds: float) -> None:
        self._cancel_idle_timer()
        self._idle_timer = self.loop.call_later(seconds, self._on_idle_timeout)

    def _cancel_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _on_idle_timeout(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self._write_timeout.start_closing()


def _bad_request() -> Problem:
    return Problem(400, "bad-request", "What was sent is not HTTP/1.1.")


def _exceeds_websocket_limits(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether headers are more than the WebSocket library reads: 128 of 8 KiB each."""
    return len(headers) > MAX_HEADER_LINES or any(
        len(name) + len(value) + 4 > MAX_HEADER_LINE for name, value in headers
    )
