"""Connections that are not waited for for ever, neither for what a client sends nor for it to read what it is sent."""

import asyncio
import json
import logging
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools

from pocketvision.serving.last_call import LastCallProtocol
from pocketvision.serving.lingering import Lingering
from pocketvision.serving.patient_socket import MAX_HEADER_LINE, MAX_HEADER_LINES, PatientSocket
from pocketvision.serving.problems import MEDIA_TYPE, Problem, retry_after
from pocketvision.serving.stalled_writes import StalledWrites
from pocketvision.serving.unchunked import Unchunked

access = logging.getLogger("pocketvision.access")

MAX_HEADERS = 32 * 1024  # bytes of a request's headers; its target may have as many
TOLD = 64  # connections too many that are told so, and heard out; others are closed at once


def headers_too_large() -> Problem:
    """A request whose headers are more than is taken."""
    detail = f"The headers may have {MAX_HEADERS:,} bytes; those of a WebSocket {MAX_HEADER_LINES} lines of {MAX_HEADER_LINE:,}."
    return Problem(431, "headers-too-large", detail)


class _Answer:
    """A connection as an answer uses it. close: what is done when it is the last."""

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
    max_connections = 1024
    on_refused: Callable[[Problem], None] = staticmethod(lambda _: None)
    _patience: asyncio.TimerHandle | None = None
    _in_between = 0  # bytes that were read and are neither a body nor complete
    _in_message = False  # its headers are complete, its body is not
    _hasty = False  # another request came too early
    _wishes = False  # for another protocol, which is not spoken here
    _wrong: Problem | None = None  # what was found while the parser was at work
    _data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        self._stalled = StalledWrites(self.loop, transport, self.write_timeout)
        super().connection_made(transport)
        if len(self.connections) <= self.max_connections:
            self._wait()
        elif len(self.connections) <= self.max_connections + TOLD:
            detail = f"The server has {self.max_connections:,} connections, which is all it takes."
            self._refuse(Problem(503, "too-many-connections", detail, retry_after(1)))
        else:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Read, as long as it comes to something."""
        if self._hasty or self.transport.is_closing():
            return
        self._in_between += len(data)
        self._data = data
        super().data_received(data)
        self._data = b""
        target = min(len(getattr(self, "url", b"")), MAX_HEADERS) if self._asking else 0
        if self._in_between > MAX_HEADERS + target and not self._hasty and self.transport.get_protocol() is self:
            self._refuse(headers_too_large())

    def on_message_begin(self) -> None:
        """A request begins; if that is too early, the one that is being answered is the last."""
        if self.cycle is not None and not self.cycle.response_complete:
            if not self._hasty:
                self._hasty, self.cycle.keep_alive = True, False
            return
        self._in_message = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Keep a part of the target."""
        if self._hasty:
            return
        super().on_url(url)
        if len(self.url) > MAX_HEADERS:
            self._wrong = Problem(414, "target-too-long", f"The target may have {MAX_HEADERS:,} bytes.")
            raise ValueError(self._wrong.detail)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; but not a trailer, which would join those that were looked at before."""
        if not self._in_message and not self._hasty:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting: a request is there."""
        if self._hasty:
            return
        version = self.parser.get_http_version()
        self._check_framing(version)
        self._in_between, self._in_message = 0, True
        self._wishes = bool(self.parser.should_upgrade()) and not self._should_upgrade()
        if self._wishes:
            return
        if self.url.count(b"/") == 2 and b"://" in self.url:  # of a proxy, without a path (RFC 9112, 3.2.2)
            self.url += b"/"
        super().on_headers_complete()
        if self.cycle is None or self.cycle.response_complete:
            return
        self._stop_waiting()
        answer = _Answer(self.transport, self._close_after)
        self.cycle.transport = cast(asyncio.Transport, answer)
        if version == "1.0":
            self.cycle.transport = cast(asyncio.Transport, Unchunked(self.cycle.transport))
            self.cycle.waiting_for_100_continue = False  # which HTTP/1.0 does not know (RFC 9110, 10.1.1)
        elif self.cycle.waiting_for_100_continue:
            answer.write = self._write_unexpected

    def _check_framing(self, version: str) -> None:
        """Raise ValueError unless it is HTTP/1 with one host, and its length is told in a way that everybody reads the same
        (RFC 9112, 3.2 and 6)."""
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
        wished = {
            (name, token.strip().lower())
            for name, value in self.headers
            if name in (b"connection", b"upgrade")
            for token in value.split(b",")
        }
        return (b"connection", b"upgrade") in wished and (b"upgrade", b"websocket") in wished

    def _write_unexpected(self, data: bytes | bytearray | memoryview) -> None:
        """Write for a client that waits for a word before it sends its body. When an answer comes instead, nobody knows whether
        the body still does: nothing more can be read from this connection (RFC 9110, 10.1.1)."""
        cast(_Answer, self.cycle.transport).write = self.transport.write
        if self._in_message and self.cycle.keep_alive and not bytes(data).startswith(b"HTTP/1.1 100 "):
            self.cycle.keep_alive = False
            data = bytes(data).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
        self.transport.write(data)

    def _close_after(self) -> None:
        """Close after the last answer, once the client, if it still sends, can have read it."""
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        if self._hasty or self._in_message:
            Lingering(self.transport, self.connection_lost)
        else:
            self.transport.close()
            self._stalled.leave()

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
        kept = [each for each in self.headers if each[0] not in (b"connection", b"upgrade")]
        self.scope["headers"] = [*kept, (b"connection", b"upgrade"), (b"upgrade", b"websocket")]
        super().handle_websocket_upgrade()
        opened = self.transport.get_protocol()
        if isinstance(opened, PatientSocket) and not opened.handshake_initiated:
            # It is no handshake, or its parser of headers, which is another and has limits of its own, took them for none.
            self.connections.discard(opened)
            self.connections.add(self)
            self.transport.set_protocol(self)
            large = headers_too_large() if _beyond_websockets(self.headers) else _broken()
            self._refuse(opened.refused or large)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Refuse what is no HTTP, with a document, and so that the client can read it."""
        if not self._hasty:
            self._refuse(self._wrong or _broken())

    def _refuse(self, problem: Problem) -> None:
        """Say why, unless an answer has begun or was given, and read no more."""
        self._stop_waiting()
        answering = self.cycle is not None and not self.cycle.response_complete
        answered = self.cycle is not None and self.cycle.response_complete and self._in_message
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
        Lingering(self.transport, self.connection_lost)

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
        """Begin to wait for the next request, if there is to be one."""
        if self.transport.get_protocol() is not self:
            self.server_state.total_requests += 1
            return
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


def _broken() -> Problem:
    return Problem(400, "bad-request", "What was sent is not HTTP/1.1.")


def _beyond_websockets(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether headers are more than the WebSocket library reads: 128 of 8 KiB each."""
    return len(headers) > MAX_HEADER_LINES or any(
        len(name) + len(value) + 4 > MAX_HEADER_LINE for name, value in headers
    )
