"""/live: who streams; a stream as MJPEG for an <img>, or over a WebSocket as answer and picture; and the way in, for publishers.

A publisher sends pairs of messages, an answer (text, a JSON object) and its picture (binary, a JPEG file), and gets `taken`
for each pair. A viewer's WebSocket gets the same pairs. A viewer that is slower than the frames skips some. A viewer may send
`options` (tasks, details): the publisher is told, and its stream answers these tasks alone from then on.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from pocketvision.errors import PocketVisionError
from pocketvision.serving.answers import LiveList
from pocketvision.serving.json_bodies import parsed
from pocketvision.serving.json_response import JsonResponse
from pocketvision.serving.keys import TokenBuckets, acquire
from pocketvision.serving.live import LiveFrame, LiveOptions, LiveStream
from pocketvision.serving.names import CheckedRoute, check_names, check_query
from pocketvision.serving.origins import foreign_origin, is_allowed
from pocketvision.serving.problems import ProblemError, problem_of, problem_response, refused
from pocketvision.serving.request_options import options_from
from pocketvision.serving.service import Service, request_id_of, service_of
from pocketvision.serving.websocket_protocol import RESTART

BOUNDARY = "pocketvision-frame"
MAX_ANSWER = 256 * 1024  # bytes of an answer's JSON
MAX_OPTIONS = 2048  # characters of a viewer's message
OPTIONS_NAMES = ("type", "tasks", "details")
JPEG = b"\xff\xd8\xff"
NORMAL, GOING_AWAY, WRONG_MESSAGE = 1000, 1001, 1008
_HEADERS = {
    "X-Accel-Buffering": "no"  # a proxy that collects an answer before it passes it on would never be done
}

router = APIRouter(route_class=CheckedRoute)


@router.get("/live", summary="Which live streams are there?", response_model=LiveList)
async def live(request: Request) -> JsonResponse:
    """Name, when it began, seconds since the last frame, frames a second and viewers; and whether this server takes any."""
    streams = service_of(request).live
    frame = [
        {
            "name": each.name,
            "since": datetime.fromtimestamp(each.since, UTC).isoformat(timespec="milliseconds"),
            "age_seconds": round(each.age, 2),
            "fps": round(each.fps, 1),
            "frames": each.count,
            "viewers": each.viewers,
            "publishing": each.publisher is not None,
        }
        for each in streams.all
    ]
    return JsonResponse({"enabled": streams.enabled, "streams": frame})


@router.get("/live/{name}.mjpeg", summary="Watch a stream", response_class=Response)
async def mjpeg(request: Request, name: str) -> Response:
    """The stream's pictures one after another, `multipart/x-mixed-replace`, as an <img> shows them; it ends with the stream."""
    service = service_of(request)
    shared = is_allowed(request.headers.get("origin", ""), service.settings.allow_origins)
    if not shared and request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        detail = (
            "A page of another site may not show this server's streams; see --allow-origin (and crossorigin of <img>)."
        )
        raise refused(403, "other-site", detail)
    _check_host(request)
    return _Mjpeg(service, name, "cross-origin" if shared else "same-origin")


class _Mjpeg(StreamingResponse):
    """A response without end, which counts as a viewer for as long as it is being sent."""

    def __init__(self, service: Service, name: str, policy: str) -> None:
        """policy: which sites may embed it, see Cross-Origin-Resource-Policy."""
        self._service = service
        self._name = name
        headers = {**_HEADERS, "Cross-Origin-Resource-Policy": policy}
        super().__init__(iter(()), 200, headers, f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._service.live.viewing(self._name) as stream, _count_viewer(self._service):
            self.body_iterator = _parts(stream, self._service)
            await super().__call__(scope, receive, send)


async def _parts(stream: LiveStream, service: Service) -> AsyncIterator[bytes]:
    """The parts of the body. The boundary follows each picture at once: browsers show a picture when they have read it."""
    yield f"--{BOUNDARY}\r\n".encode()
    last = 0
    while (frame := await _next_frame(stream, last, service)) is not None:
        last = frame.number
        size = len(frame.picture)
        yield f"Content-Type: image/jpeg\r\nContent-Length: {size}\r\nX-Frame: {frame.number}\r\n\r\n".encode()
        yield frame.picture
        yield f"\r\n--{BOUNDARY}\r\n".encode()


@router.websocket("/live/{name}")
async def watch(websocket: WebSocket, name: str) -> None:
    """Send a stream's answers and pictures until it ends or the viewer leaves. Pages of other sites are refused, as on /ws."""
    service = service_of(websocket)
    try:
        check_query(websocket.query_params, ())
        foreign = foreign_origin(websocket.headers, service.settings.allow_origins, service.settings.public_url)
        if foreign is not None:
            raise ProblemError(replace(foreign, kind="other-site"))
        _check_host(websocket)
        with service.live.viewing(name) as stream:
            await websocket.accept()
            with _count_viewer(service), service.telemetry.sockets.open.track_inprogress():
                await _send_until_left(websocket, stream, service)
    except ProblemError as error:
        await _deny(websocket, error)


async def _send_until_left(websocket: WebSocket, stream: LiveStream, service: Service) -> None:
    showing = asyncio.create_task(_send_frames(websocket, stream, service))
    leaving = asyncio.create_task(_until_left(websocket, stream, service))
    try:
        await asyncio.wait((showing, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (showing, leaving):
            task.cancel()
        await asyncio.gather(showing, leaving, return_exceptions=True)


async def _send_frames(websocket: WebSocket, stream: LiveStream, service: Service) -> None:
    last = 0
    with suppress(WebSocketDisconnect, RuntimeError):  # the viewer has gone
        while (frame := await _next_frame(stream, last, service)) is not None:
            last = frame.number
            await websocket.send_text(frame.answer)
            await websocket.send_bytes(frame.picture)
        await websocket.close(NORMAL if service.live.open else RESTART, "the stream has ended")


async def _until_left(websocket: WebSocket, stream: LiveStream, service: Service) -> None:
    """Return when the viewer has left. What it sends is read, slowly; options are kept for the publisher, all else is
    discarded."""
    rate = TokenBuckets(service.settings.socket_rate)
    with suppress(RuntimeError, WebSocketDisconnect):
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            await acquire(rate)
            if text := message.get("text"):
                try:
                    stream.options = await _options(text, service)
                except PocketVisionError as error:
                    document = problem_of(error).document(request_id_of(websocket))
                    await websocket.send_json({**document, "problem": document["type"], "type": "error"})


async def _options(text: str, service: Service) -> LiveOptions:
    """Raises a 422 problem for a message that is none. What the stream's bundle does not have is told in its publisher's log."""
    if len(text) > MAX_OPTIONS:
        raise refused(413, "message-too-large", f"A message may have {MAX_OPTIONS} characters.")
    message = await parsed(text.encode("utf-8", "surrogatepass"), service.settings.max_json_depth)
    if message.get("type") != "options":
        raise refused(422, "unknown-type", "The type must be options.")
    check_names(message, OPTIONS_NAMES, "the options message")
    asked = options_from({name: message[name] for name in ("tasks", "details") if name in message})
    tasks = None if asked.detail.tasks is None else list(asked.detail.tasks)
    return LiveOptions({"type": "options", "tasks": tasks, "details": message.get("details") or {}})


@router.websocket("/live/{name}/publish")
async def publish(websocket: WebSocket, name: str) -> None:
    """Take a publisher's frames until it leaves, is silent for too long, or sends what is none."""
    service = service_of(websocket)
    accepted = False
    try:
        check_query(websocket.query_params, ())
        _check_publisher(websocket, service)
        with service.live.publishing(name) as stream:
            await websocket.accept()
            accepted = True
            with service.telemetry.sockets.open.track_inprogress():
                await _receive_frames(websocket, stream, service)
    except ProblemError as error:
        if not accepted:
            await _deny(websocket, error)
            return
        websocket.scope["state"]["problem"] = error.problem.kind
        service.telemetry.rejected.labels(error.problem.kind).inc()
        with suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(WRONG_MESSAGE, error.problem.detail.encode()[:120].decode(errors="ignore"))


def _check_publisher(websocket: WebSocket, service: Service) -> None:
    """Raise a problem where publishing is not allowed: to a browser, or without keys to any other machine.

    No page needs to publish, and without keys others could show their pictures to the users of this server.
    """
    if "origin" in websocket.headers:
        raise refused(403, "other-site", "Web pages can not publish.")
    if service.settings.keys:
        return
    passed_on = any(name in websocket.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))
    if passed_on or websocket.client is None or not _is_this_machine(websocket.client.host):
        raise refused(
            403,
            "publishing-needs-keys",
            "Without keys this server is published to from its own machine only; see --keys.",
        )


def _check_host(connection: HTTPConnection) -> None:
    """Raise a problem where a page of another site might ask under a name of its own that it has pointed at this machine (DNS
    rebinding): without keys, cameras are shown under an address or as localhost only."""
    service = service_of(connection)
    service.live.require_enabled()
    host = connection.headers.get("host", "")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    known = ("localhost", urlsplit(service.settings.public_url).hostname)
    if service.settings.keys or name.lower() in known:
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        detail = "Without keys, live streams are shown under localhost, an address of this machine or --public-url."
        raise refused(403, "unknown-host", detail) from None


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def _receive_frames(websocket: WebSocket, stream: LiveStream, service: Service) -> None:
    """Show the frames that come. Raises a problem for a message that does not belong here."""
    rate, publisher = TokenBuckets(service.settings.socket_rate), stream.publisher
    answer: str | None = None
    told = stream.options  # by a viewer of the publisher before: not meant for this one
    while True:
        try:
            async with asyncio.timeout(service.live.require_enabled().idle_timeout):
                message = await websocket.receive()
        except TimeoutError:
            with suppress(WebSocketDisconnect, RuntimeError):
                await websocket.close(GOING_AWAY, "no frame came for too long")
            return
        if message["type"] == "websocket.disconnect":
            return
        if stream.publisher is not publisher or stream.ended:
            raise refused(409, "name-taken", "Another publisher has this name now.")
        picture: bytes | None = message.get("bytes")
        if picture is None:
            answer = await _checked_answer(message.get("text") or "", service)
            continue
        if answer is None or not picture.startswith(JPEG):
            raise refused(422, "invalid-frame", "Expected an answer as text, then its picture as a binary JPEG file.")
        stream.publish(answer, picture)
        service.telemetry.live.frames.inc()
        answer = None
        await acquire(rate)
        with suppress(WebSocketDisconnect, RuntimeError):
            if stream.options is not told and stream.options is not None:
                told = stream.options
                await websocket.send_json(told.message)
            await websocket.send_json({"type": "taken", "frame": stream.count})


async def _checked_answer(text: str, service: Service) -> str:
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > MAX_ANSWER:
        raise refused(413, "answer-too-large", f"An answer may have {MAX_ANSWER} bytes.")
    await parsed(content, service.settings.max_json_depth)
    return text


async def _next_frame(stream: LiveStream, last: int, service: Service) -> LiveFrame | None:
    """The newest frame after number `last`, as LiveStream.after; those in between are counted as skipped."""
    frame = await stream.next_after(last)
    if frame is not None and last > 0:
        service.telemetry.live.skipped.inc(frame.number - last - 1)
    return frame


@contextmanager
def _count_viewer(service: Service) -> Iterator[None]:
    service.telemetry.live.viewers.inc()
    try:
        yield
    finally:
        service.telemetry.live.viewers.dec()


async def _deny(websocket: WebSocket, error: ProblemError) -> None:
    """Answer a WebSocket that is not accepted with a problem document, where the server can; otherwise close it."""
    problem = problem_of(error)
    websocket.scope["state"]["problem"] = problem.kind  # for the access log and metrics
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(problem_response(problem, request_id_of(websocket)))
    else:
        await websocket.close(WRONG_MESSAGE, problem.kind)
