"""Middleware of every request: request id, keys, rate limits, security headers, access log, metrics, problem documents."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pocketvision.redaction import redacted
from pocketvision.serving.batching import ClosedError
from pocketvision.serving.http_protocol import MAX_HEADERS, headers_too_large
from pocketvision.serving.keys import name_of
from pocketvision.serving.origins import preflight, response_headers
from pocketvision.serving.problems import Problem, http_problem, problem_of, problem_response, retry_after, unauthorized
from pocketvision.serving.service import Service
from pocketvision.serving.websocket_protocol import RESTART

logger = logging.getLogger(__name__)
access = logging.getLogger("pocketvision.access")

REQUEST_ID = "X-Request-ID"
ABNORMAL_CLOSURE = 1006  # of a WebSocket without a close frame
CLIENT_CLOSED_REQUEST = 499  # nginx's status for it in logs
# Probes and the page's own files; the page asks its user for a key and sends it with what it asks.
PUBLIC_PATHS = ("/", "/health", "/ready", "/v2/health/live", "/v2/health/ready")
PUBLIC_PREFIX = "/page/"
STREAMING_PREFIX = "/live/"  # streams never end, so HEAD would not either
# WebSockets that take the key as their first message where no header has it: browsers can send no header with them.
MESSAGE_AUTH_PATHS = ("/ws",)
_SAFE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
}
_RAW_ID = REQUEST_ID.lower().encode()
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_RAW_NAMES = {_RAW_ID, *(name for name, _ in _RAW_HEADERS)}


@dataclass
class _RequestRecord:
    """What is known of a request, for the log."""

    started: float
    status: int = CLIENT_CLOSED_REQUEST
    key: str = ""
    kind: str = ""
    answering: bool = False


@dataclass
class _WebSocketRecord:
    """What is known of a WebSocket, for the log. code: of its close, or the HTTP status it was refused with."""

    messages: int = 0
    answers: int = 0
    code: int | None = None
    opened: bool = False

    def closed_with(self, code: int) -> None:
        """The first code counts."""
        if self.code is None:
            self.code = code


class RequestMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._settings = service.settings
        self._telemetry = service.telemetry
        self._rates = service.rates
        self._stopping = service.stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get(REQUEST_ID, "")
        request_id = asked if _SAFE_ID.fullmatch(asked) else secrets.token_hex(8)
        record = _RequestRecord(time.perf_counter())
        scope.setdefault("state", {})["request_id"] = request_id
        problem = self._refusal(scope, headers, record)
        scope["state"]["key"] = record.key
        cors = response_headers(headers, self._settings.allow_origins)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, problem)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status, record.answering = message["status"], True
                if self._telemetry.tracing is not None:  # the span ends with the answer
                    self._telemetry.tracing.note_request(*_route_of(scope), request_id)
                _add_headers(message, request_id, cors)
            await send(message)

        try:
            if answer := self._preflight(scope, headers):
                await Response(status_code=204, headers=answer)(scope, receive, send_with_headers)
                return
            if problem is None:
                problem = await self._through(scope, receive, send_with_headers, record)
            if problem is not None:
                scope["state"]["problem"] = problem.kind
                await problem_response(problem, request_id)(scope, receive, send_with_headers)
        finally:
            self._record(scope, record)

    async def _through(self, scope: Scope, receive: Receive, send: Send, record: _RequestRecord) -> Problem | None:
        """Call the application. The problem to answer with when it raised before it answered."""
        asked = scope
        if scope["method"] == "HEAD" and not scope["path"].startswith(
            STREAMING_PREFIX
        ):  # as GET; the server leaves the body out
            asked = {**scope, "method": "GET"}

        async def send_as_asked(message: Message) -> None:
            scope.setdefault("route", asked.get("route"))
            await send(message)

        try:
            await self._app(asked, receive, send if asked is scope else send_as_asked)
        except asyncio.CancelledError:
            if not self._stopping.is_set() or record.answering:
                raise
            return problem_of(ClosedError())  # the drain timeout is over
        except ClientDisconnect:
            record.status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                logger.exception("request %s failed", scope["state"]["request_id"])
            if record.answering:  # a response has begun
                raise
            return problem
        return None

    def _preflight(self, scope: Scope, headers: Headers) -> dict[str, str] | None:
        """What answers a CORS preflight, which has no key."""
        allowed = self._settings.allow_origins
        return preflight(headers, allowed) if allowed and scope["method"] == "OPTIONS" else None

    def _refusal(self, scope: Scope, headers: Headers, record: _RequestRecord) -> Problem | None:
        """Why a request may not pass: no key, a wrong one, or too many requests with it."""
        path = scope["path"]
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEADERS:
            return headers_too_large()
        if not self._settings.keys or path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX):
            return None
        keyless = "authorization" not in headers and "x-api-key" not in headers
        if keyless and scope["type"] == "websocket" and path in MESSAGE_AUTH_PATHS:
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        presented = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        name = name_of(presented, self._settings.keys)
        if name is None:
            return unauthorized("send it in the header `Authorization: Bearer KEY`, or in `X-API-Key`")
        record.key = name
        wait = 0.0 if self._rates is None else self._rates.try_acquire(name)
        if wait > 0:
            return Problem(
                429, "rate-limit", f"More requests than {self._settings.rate:g} a second.", retry_after(wait)
            )
        return None

    async def _socket(self, scope: Scope, receive: Receive, send: Send, problem: Problem | None) -> None:
        """Pass a WebSocket on, or refuse it here. The log has a line when it opens and one when it closes."""
        started = time.perf_counter()
        record = _WebSocketRecord()

        async def counted_receive() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                record.messages += 1
            elif message["type"] == "websocket.disconnect":
                record.closed_with(message.get("code", ABNORMAL_CLOSURE))
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "websocket.http.response.start":
                record.closed_with(message["status"])
                _add_headers(message, scope["state"]["request_id"])
            elif message["type"] == "websocket.close" and not record.opened:  # the framework has no such path
                problem = http_problem(404, "Not Found", None)
                scope["state"]["problem"] = problem.kind
                await problem_response(problem, scope["state"]["request_id"])(scope, receive, counted_send)
                return
            elif message["type"] == "websocket.close":
                record.closed_with(message.get("code", 1000))
            await send(message)
            if message["type"] == "websocket.accept":
                record.opened = True
                self._log_socket(scope, 101, started)
            elif message["type"] == "websocket.send":
                record.answers += 1

        try:
            if problem is not None:
                scope["state"]["problem"] = problem.kind
                await problem_response(problem, scope["state"]["request_id"])(scope, receive, counted_send)
            else:
                await self._app(scope, counted_receive, counted_send)
        except asyncio.CancelledError:
            if self._stopping.is_set() and record.opened:  # the drain timeout is over
                await counted_send({"type": "websocket.close", "code": RESTART})
            raise
        finally:
            if not record.opened and (kind := scope["state"].get("problem")):
                self._telemetry.rejected.labels(kind).inc()
            counts = {"messages": record.messages, "answers": record.answers} if record.opened else {}
            self._log_socket(scope, record.code or ABNORMAL_CLOSURE, started, **counts)

    def _log_socket(self, scope: Scope, status: int, started: float, **counts: int) -> None:
        if access.isEnabledFor(logging.INFO):
            key, problem = scope["state"].get("key", ""), scope["state"].get("problem", "")
            fields = self._fields(scope, _RequestRecord(started, status, key, problem), time.perf_counter() - started)
            access.info("%s", "request", extra={"request": {**fields, **counts}})

    def _record(self, scope: Scope, record: _RequestRecord) -> None:
        seconds = time.perf_counter() - record.started
        record.kind = scope["state"].get("problem", "")
        if record.kind:
            self._telemetry.rejected.labels(record.kind).inc()
        method, route = _route_of(scope)
        self._telemetry.requests.labels(route, method, str(record.status)).inc()
        self._telemetry.seconds.labels(route).observe(seconds)
        if access.isEnabledFor(logging.INFO):
            access.info("%s", "request", extra={"request": self._fields(scope, record, seconds)})

    def _fields(self, scope: Scope, record: _RequestRecord, seconds: float) -> dict[str, Any]:
        """The access log's fields. No query, no header and no body: they may hold secrets."""
        client = scope.get("client")
        return {
            "request_id": scope["state"]["request_id"],
            "client": client[0] if client else "",
            "key": record.key,
            "method": scope.get("method", "WEBSOCKET"),
            "path": redacted(scope["path"][:200]),
            "status": record.status,
            "ms": round(seconds * 1000, 2),
            "problem": record.kind,
        }


def _add_headers(message: Message, request_id: str, cors: Mapping[str, str] | None = None) -> None:
    """Set these headers in the place of any that a route has set."""
    kept = [each for each in message.get("headers", ()) if each[0] not in _RAW_NAMES]
    more = [(name.lower().encode(), value.encode("latin-1")) for name, value in (cors or {}).items()]
    message["headers"] = [*kept, *_RAW_HEADERS, *more, (_RAW_ID, request_id.encode("latin-1"))]


def _route_of(scope: Scope) -> tuple[str, str]:
    """Method and route as metrics and spans call them: never the path itself, of which clients could make any number."""
    method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
    return method, getattr(scope.get("route"), "path", "unmatched")
