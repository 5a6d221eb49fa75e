"""/ws: many images over one connection, several of them in work at once, answered as they are ready.

A text message is a JSON object with a `type`: `image_analysis` (request_id, and image as base64, or none: the next binary message
is the image; the options of request_options.py), `options` (those of all images that follow, in place of the ones that were set
before; a message's own go over them), `health_check` or `authenticate` (key). A binary message alone is an image to be analysed.
Answers are `analysis_result`, `options_set`, `health_response`, `authenticated` and `error`, each with the request's id."""

import asyncio
import json
import logging
from contextlib import AsyncExitStack, suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from pocketvision.serving.asking import asked, check_options
from pocketvision.serving.json_bodies import image_of, parsed
from pocketvision.serving.keys import TokenBuckets, acquire, name_of
from pocketvision.serving.names import check_names, check_query, close_names
from pocketvision.serving.origins import foreign_origin
from pocketvision.serving.problems import (
    Problem,
    ProblemError,
    problem_of,
    problem_response,
    refused,
    retry_after,
    unauthorized,
)
from pocketvision.serving.request_options import OPTIONS, options_from, over
from pocketvision.serving.service import Service, request_id_of, service_of
from pocketvision.serving.websocket_protocol import DRAINS, POLICY, RESTART

MESSAGES = {
    "image_analysis": ("type", "request_id", "image", *OPTIONS),
    "options": ("type", "request_id", *OPTIONS),
    "health_check": ("type", "request_id"),
    "authenticate": ("type", "request_id", "key"),
}
"""The messages, and the names that each may have."""
QUERY_HINTS = {
    **dict.fromkeys(OPTIONS, "it stands in each image_analysis message"),
    **dict.fromkeys(("key", "token", "api_key"), "send it in a header, or as the first message"),
}
ANSWERED = "answered"
CLOSE_TIMEOUT = 0.4  # seconds for a close to be written: it waits behind what the client has not read yet
MAX_AUTH_MESSAGE = 1024  # characters of the message that brings the key
SEND_TIMEOUT = 20.0  # seconds for a reader to take an answer

logger = logging.getLogger(__name__)
router = APIRouter()


@router.websocket("/ws")
async def socket(websocket: WebSocket) -> None:
    """Serve one connection until it ends. A page of another site may not open it: browsers send their origin."""
    service = service_of(websocket)
    try:
        check_query(websocket.query_params, (), QUERY_HINTS)
    except ProblemError as error:
        await _deny(websocket, error.problem)
        return
    problem = foreign_origin(websocket.headers, service.settings.allow_origins, service.settings.public_url)
    if problem is not None:
        await _deny(websocket, problem)
        return
    unauthenticated = bool(service.settings.keys) and not websocket.scope["state"]["key"]
    if service.sockets.locked() or (unauthenticated and service.unauthenticated_sockets.locked()):
        detail = "There is no place for another WebSocket; try again later."
        await _deny(websocket, refused(503, "too-many-websockets", detail, retry_after(1)).problem)
        return
    async with service.sockets, AsyncExitStack() as place:
        if unauthenticated:
            await place.enter_async_context(service.unauthenticated_sockets)
        await websocket.accept()
        service.telemetry.sockets.open.inc()
        try:
            if unauthenticated and not await _authenticate_by_message(websocket, service):
                return
            await place.aclose()
            await _WebSocketSession(websocket, service).run()
        finally:
            service.telemetry.sockets.open.dec()


async def _deny(websocket: WebSocket, problem: Problem) -> None:
    websocket.scope["state"]["problem"] = problem.kind  # for the access log and metrics
    await websocket.send_denial_response(problem_response(problem, request_id_of(websocket)))


async def _authenticate_by_message(websocket: WebSocket, service: Service) -> bool:
    """Whether the first message brought a key in time; the connection is closed otherwise. Nothing else is taken before."""
    request: dict[str, Any] = {}
    try:
        async with asyncio.timeout(service.settings.header_timeout):
            message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return False
        text = message.get("text") or ""
        how = 'send {"type": "authenticate", "key": KEY} as the first message, or the key in a header'
        if not text or len(text) > MAX_AUTH_MESSAGE:
            raise ProblemError(unauthorized(how))
        request = await parsed(text.encode("utf-8", "surrogatepass"), service.settings.max_json_depth)
        name = name_of(str(request.get("key", "")), service.settings.keys)
        if request.get("type") != "authenticate" or name is None:
            raise ProblemError(unauthorized(how))
        check_names(request, MESSAGES["authenticate"], "the authenticate message")
        if service.rates is not None:
            await acquire(service.rates, name)
        websocket.scope["state"]["key"] = name
        await websocket.send_text(json.dumps(_authenticated(request)))
        service.telemetry.sockets.messages.labels("authenticate", ANSWERED).inc()
        return True
    except (WebSocketDisconnect, RuntimeError):  # the client has gone
        return False
    except TimeoutError:
        problem = unauthorized(f"it did not come within {service.settings.header_timeout:g} s")
    except ProblemError as error:
        problem = error.problem
    service.telemetry.rejected.labels(problem.kind).inc()
    service.telemetry.sockets.messages.labels(_type_of(request), problem.kind).inc()
    websocket.scope["state"]["problem"] = problem.kind
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(json.dumps(_error(problem, request)))
        await websocket.close(POLICY, problem.kind)
    return False


class _WebSocketSession:
    """One connection. At most `socket_in_flight` requests are in work; while they are, one more message is read from it (while
    there is none, it is seen when the client leaves), so neither a fast sender nor a slow reader can fill the server's memory."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._free = asyncio.Semaphore(service.settings.socket_in_flight)
        self._rate = TokenBuckets(service.settings.socket_rate)
        self._working: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        self._announced: dict[str, Any] | None = None
        self._options: dict[str, Any] = {}  # of the images that follow
        self._text_refused = False  # the last message: an image after it may have been meant for another model
        self._close_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()  # the code to close with

    async def run(self) -> None:
        """Read and answer until the client leaves; what is still in work then is cancelled. Or until the server stops: then no
        more is read, what was read is answered as long as there is time, and the connection is closed."""
        self._websocket.scope["state"][DRAINS] = True
        watching = asyncio.create_task(self._watch())
        try:
            while (message := await self._receive()) is not None:
                await acquire(self._rate)  # a client that sends too often is slowed down: it is read from later
                await self._dispatch(message)
            if self._close_code.done():
                await self._close(self._close_code.result())
        except (WebSocketDisconnect, RuntimeError):  # closed while it was being read or written
            return
        finally:
            unfinished = {watching, *self._working}
            for task in unfinished:
                task.cancel()
            await asyncio.wait(unfinished)

    async def _watch(self) -> None:
        await self._service.stopping.wait()
        self._end(RESTART)

    def _end(self, code: int) -> None:
        if not self._close_code.done():
            self._close_code.set_result(code)

    async def _receive(self) -> Any:
        """The next message, once it may be begun; None when there will be none."""
        if self._close_code.done():
            return None
        receiving = asyncio.ensure_future(self._websocket.receive())
        try:
            either: tuple[asyncio.Future[Any], ...] = (receiving, self._close_code)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                return None
            message = receiving.result()
        finally:
            receiving.cancel()
        if message["type"] == "websocket.disconnect":
            return None
        acquiring = asyncio.ensure_future(self._free.acquire())
        either = (acquiring, self._close_code)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if acquiring.done():
            return message
        acquiring.cancel()
        return None

    async def _close(self, code: int) -> None:
        """Close, after what is in work where the server stops: within `drain`, less what the closing itself takes."""
        if code == RESTART and self._working:
            drain = self._service.settings.drain
            await asyncio.wait(self._working, timeout=max(drain - 2 * CLOSE_TIMEOUT, drain / 2))
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._websocket.close(code)

    async def _dispatch(self, message: Any) -> None:
        """Understand a message, in order with the others, and start to answer it beside them."""
        request: dict[str, Any] = {}
        content: bytes | None = message.get("bytes")
        refused_before, self._text_refused = self._text_refused, content is None
        try:
            if content is None:
                text = message.get("text") or ""
                request = await parsed(text.encode("utf-8", "surrogatepass"), self._service.settings.max_json_depth)
                _check_message(request)
                self._take_options(request)
                self._text_refused = False
                if request.get("type") == "image_analysis" and request.get("image") is None:
                    before, self._announced = self._announced, request
                    if before is None:
                        self._free.release()
                        return
                    request = before
                    raise refused(422, "image-missing", "Its image did not come before the next request.")
            elif refused_before:
                request, self._announced = {"type": "image_analysis"}, None
                raise refused(
                    422,
                    "announcement-refused",
                    "The text before this image was refused; send the text and the image again.",
                )
            else:
                request, self._announced = self._announced or {"type": "image_analysis", **self._options}, None
            if not await self._acquire_rate():
                self._free.release()
                return
        except Exception as error:
            work = self._failed(request, error)
        else:
            work = self._answer(request, content)
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._ended)

    def _take_options(self, request: dict[str, Any]) -> None:
        """Set those of the images that follow, in order with them; give an image's message those that were set. Raises what is
        wrong with them, and then the ones before stay."""
        if request["type"] == "options":
            given = {name: request[name] for name in OPTIONS if request.get(name) is not None}
            check_options(self._service, options_from(given))
            self._options = given
        elif request["type"] == "image_analysis":
            request |= over(self._options, request)

    async def _acquire_rate(self) -> bool:
        """Wait for the key's rate limit. False when the connection is to end before."""
        key = self._websocket.scope["state"]["key"]
        if self._service.rates is None or not key:
            return True
        turning = asyncio.ensure_future(acquire(self._service.rates, key))
        either: tuple[asyncio.Future[Any], ...] = (turning, self._close_code)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return turning.done() or not turning.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._free.release()

    async def _answer(self, request: dict[str, Any], content: bytes | None) -> None:
        try:
            with self._service.bodies.reserve() as reservation:
                reservation.take(len(content if content is not None else str(request.get("image", ""))))
                answer = await self._traced(request, content)
        except Exception as error:  # one request's error is its own; the connection goes on
            await self._failed(request, error)
        else:
            if await self._send(answer):
                self._service.telemetry.sockets.messages.labels(_type_of(request), ANSWERED).inc()

    async def _traced(self, request: dict[str, Any], content: bytes | None) -> dict[str, Any]:
        tracing = self._service.telemetry.tracing
        if tracing is None or request.get("type") != "image_analysis":
            return await self._handle(request, content)
        with tracing.message("image_analysis", request_id_of(self._websocket)):
            return await self._handle(request, content)

    async def _failed(self, request: dict[str, Any], error: Exception) -> None:
        problem = problem_of(error)
        if problem.status == 500:
            logger.error("request %r on a WebSocket failed", _id_of(request), exc_info=error)
        self._service.telemetry.rejected.labels(problem.kind).inc()
        self._service.telemetry.sockets.messages.labels(_type_of(request), problem.kind).inc()
        await self._send(_error(problem, request))

    async def _handle(self, request: dict[str, Any], content: bytes | None) -> dict[str, Any]:
        kind = request.get("type")
        if kind == "health_check":
            ready = self._service.models.ready
            return {
                "type": "health_response",
                "request_id": _id_of(request),
                "status": "ready" if ready else "not-ready",
            }
        if kind == "authenticate":  # it may ask already
            return _authenticated(request)
        if kind == "options":
            return {"type": "options_set", "request_id": _id_of(request), "options": self._options}
        options = options_from(request)
        image = content if content is not None else await image_of(request["image"])
        return {"type": "analysis_result", **await asked(self._service, [image], options, _id_of(request))}

    async def _send(self, answer: dict[str, Any]) -> bool:
        """Whether the client was still there."""
        text = json.dumps(answer)
        try:
            async with asyncio.timeout(SEND_TIMEOUT), self._sending:
                await self._websocket.send_text(text)
            return True
        except TimeoutError:
            self._end(POLICY)
        except (WebSocketDisconnect, RuntimeError):  # the client has gone
            pass
        return False


def _check_message(request: dict[str, Any]) -> None:
    """Raise a 422 problem for an unknown type, and for names that a message of its type does not have."""
    kind = request.get("type")
    if not isinstance(kind, str) or kind not in MESSAGES:
        near = close_names(kind, MESSAGES) if isinstance(kind, str) else []
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise refused(422, "unknown-type", f"The type must be one of {', '.join(MESSAGES)}{hint}")
    check_names(request, MESSAGES[kind], f"the {kind} message")


def _authenticated(request: dict[str, Any]) -> dict[str, Any]:
    return {"type": "authenticated", "request_id": _id_of(request)}


def _error(problem: Problem, request: dict[str, Any]) -> dict[str, Any]:
    document = problem.document(_id_of(request))
    return {**document, "problem": document["type"], "type": "error"}


def _type_of(request: dict[str, Any]) -> str:
    """A message's type for the metrics: one of ours, whatever a client sends."""
    kind = request.get("type")
    return kind if isinstance(kind, str) and kind in MESSAGES else "other"


def _id_of(request: dict[str, Any]) -> str:
    """The id a client gave to its request, as text; empty when it gave none."""
    given = request.get("request_id", "")
    return str(given)[:128] if isinstance(given, str | int) else ""
