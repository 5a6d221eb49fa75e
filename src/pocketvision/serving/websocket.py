"""/ws: many images over one connection, several of them in work at once, answered as they are ready.

A text message is a JSON object with a `type`: `image_analysis` (request_id, and image as base64, or none: the next binary
message is the image; top_k, model, version, tasks) or `health_check`. A binary message alone is an image to be analysed. Answers
are `analysis_result`, `health_response` and `error`, each with the request's id.
"""

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from pocketvision.serving.answers import prediction_answer
from pocketvision.serving.json_bodies import image_of, parsed, text_or_none, whole_number
from pocketvision.serving.keys import RateLimit
from pocketvision.serving.predict_routes import DEFAULT_TOP_K, MAX_TOP_K
from pocketvision.serving.problems import problem_of, refused
from pocketvision.serving.service import Service, service_of

TASKS = ("classification",)
SLOW_READER = 1008
SEND_TIMEOUT = 20.0  # seconds for a reader to take an answer

logger = logging.getLogger(__name__)
router = APIRouter()


@router.websocket("/ws")
async def socket(websocket: WebSocket) -> None:
    """Serve one connection until it ends. A page of another site may not open it: browsers tell their origin."""
    service = service_of(websocket)
    origin = websocket.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != websocket.headers.get("host"):
        await websocket.close(1008)
        return
    if service.sockets.locked():
        await websocket.close(1013)
        return
    async with service.sockets:
        await _serve_connection(websocket, service)


async def _serve_connection(websocket: WebSocket, service: Service) -> None:
    await websocket.accept()
    service.telemetry.sockets.inc()
    try:
        await _Conversation(websocket, service).hold()
    finally:
        service.telemetry.sockets.dec()


class _Conversation:
    """One connection. At most `socket_in_flight` requests are in work; while they are, nothing more is read from it, so neither
    a fast sender nor a slow reader can fill the server's memory."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._free = asyncio.Semaphore(service.settings.socket_in_flight)
        self._rate = RateLimit(service.settings.socket_rate)
        self._working: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        self._announced: dict[str, Any] | None = None

    async def hold(self) -> None:
        """Read and answer until the client leaves; what is still in work then is cancelled."""
        try:
            while True:
                await self._free.acquire()
                # A client that sends too often is slowed down: it is read from later.
                await asyncio.sleep(self._rate.wait_for(""))
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._begin(message)
        except (WebSocketDisconnect, RuntimeError):  # closed while it was being read or written
            return
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def _begin(self, message: Any) -> None:
        """Understand a message, in order with the others, and start to answer it beside them."""
        asked: dict[str, Any] = {}
        content: bytes | None = message.get("bytes")
        try:
            if content is None:
                text = message.get("text") or ""
                asked = await parsed(text.encode("utf-8", "surrogatepass"), self._service.settings.max_json_depth)
                if asked.get("type") == "image_analysis" and asked.get("image") is None:
                    self._announced = asked
                    self._free.release()
                    return
            else:
                asked, self._announced = self._announced or {"type": "image_analysis"}, None
        except Exception as error:
            work = self._failed(asked, error)
        else:
            work = self._answer(asked, content)
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._free.release()

    async def _answer(self, asked: dict[str, Any], content: bytes | None) -> None:
        try:
            with self._service.bodies.reserve() as reservation:
                reservation.take(len(content if content is not None else str(asked.get("image", ""))))
                answer = await self._told(asked, content)
        except Exception as error:  # one request's error is its own; the connection goes on
            await self._failed(asked, error)
        else:
            await self._send(answer)

    async def _failed(self, asked: dict[str, Any], error: Exception) -> None:
        problem = problem_of(error)
        if problem.status == 500:
            logger.error("a request on a WebSocket failed", exc_info=error)
        self._service.telemetry.rejected.labels(problem.kind).inc()
        document = problem.document(_id_of(asked))
        await self._send({**document, "problem": document["type"], "type": "error"})

    async def _told(self, asked: dict[str, Any], content: bytes | None) -> dict[str, Any]:
        kind = asked.get("type")
        if kind == "health_check":
            ready = self._service.models.ready
            return {"type": "health_response", "request_id": _id_of(asked), "status": "ready" if ready else "not-ready"}
        if kind != "image_analysis":
            raise refused(422, "unknown-type", "The type must be image_analysis or health_check.")
        tasks = asked.get("tasks", list(TASKS))
        if not isinstance(tasks, list) or not tasks or any(task not in TASKS for task in tasks):
            raise refused(422, "unknown-task", f"tasks must be a list out of {', '.join(TASKS)}.")
        top_k = whole_number(asked, "top_k", DEFAULT_TOP_K, 1, MAX_TOP_K)
        model, outcomes = await self._service.models.predict(
            [content if content is not None else await image_of(asked["image"])],
            deadline=time.monotonic() + self._service.settings.deadline,
            name=text_or_none(asked, "model"),
            version=text_or_none(asked, "version"),
        )
        return {"type": "analysis_result", **prediction_answer(model, outcomes, top_k, _id_of(asked))}

    async def _send(self, answer: dict[str, Any]) -> None:
        text = json.dumps(answer)
        try:
            async with asyncio.timeout(SEND_TIMEOUT), self._sending:
                await self._websocket.send_text(text)
        except TimeoutError:
            with suppress(Exception):
                await self._websocket.close(SLOW_READER)
        except (WebSocketDisconnect, RuntimeError):  # the client has gone
            pass


def _id_of(asked: dict[str, Any]) -> str:
    """The id a client gave to its request, as text; empty when it gave none."""
    given = asked.get("request_id", "")
    return str(given)[:128] if isinstance(given, str | int) else ""
