"""How the server is, which models it has, and their reload."""

import asyncio

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from pocketvision.serving.answers import Health, ModelList, ReloadList, model_state
from pocketvision.serving.json_bodies import parsed
from pocketvision.serving.json_response import JsonResponse
from pocketvision.serving.names import CheckedRoute, check_names
from pocketvision.serving.problems import refused, retry_after
from pocketvision.serving.request_body import whole_body
from pocketvision.serving.service import service_of

STUCK = 60.0  # seconds

router = APIRouter(route_class=CheckedRoute)


@router.get("/health", summary="Is the process alive?", response_model=Health)
async def health(request: Request) -> JsonResponse:
    """200 as long as the event loop turns; 503 when nothing could be decoded for a minute: only a restart helps then."""
    if service_of(request).models.stuck_for > STUCK:
        raise refused(503, "decoders-stuck", "Every image that may be decoded at once hangs.")
    return JsonResponse({"status": "alive"})


@router.get("/ready", summary="Are the models ready?", response_model=Health)
async def ready(request: Request) -> JsonResponse:
    """200 once every model has answered its warm-up; 503 while the server is being shut down, or has no thread to decode with."""
    if not service_of(request).models.ready:
        raise refused(503, "not-ready", "The models are not ready.", retry_after(1))
    return JsonResponse({"status": "ready"})


@router.get("/models", summary="Which models are served?", response_model=ModelList)
async def models(request: Request) -> JsonResponse:
    """Name, version, labels and input size of each."""
    return JsonResponse({"models": [model_state(model) for model in service_of(request).models.all]})


@router.post("/models/{name}/reload", summary="Read a model's folder anew", response_model=ReloadList)
async def reload(request: Request, name: str) -> JsonResponse:
    """The old version serves until the new one has passed its hashes and its warm-up, and serves on if it does not (409).

    Only where the server has keys: anybody could keep it busy otherwise.
    """
    service = service_of(request)
    if not service.settings.keys:
        raise refused(403, "reload-needs-keys", "Reloading by request is only for servers with API keys.")
    service.models.get(name)  # an unknown one is a 404 before any other process is asked
    with service.bodies.reserve() as reservation:
        body = await whole_body(request, service, reservation)
    if body.strip():
        check_names(await parsed(body, service.settings.max_json_depth), (), "the body")
    done = [vars(reload) for reload in await service.reload(name)]
    # A folder's path and internal errors are for the log; the client learns that it failed.
    for each in done:
        each["reason"] = "The new bundle was refused; the log says why." if each["outcome"] == "failed" else ""
    failed = [each for each in done if each["outcome"] == "failed"]
    if failed:
        raise refused(409, "bundle-refused", failed[0]["reason"], reloads=done)
    return JsonResponse({"reloads": done})


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    text = await asyncio.to_thread(service_of(request).telemetry.exposition)  # with workers it reads files under a lock
    return Response(text, media_type=CONTENT_TYPE_LATEST)
