"""The application: routes and what surrounds them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from pocketvision.errors import PocketVisionError
from pocketvision.serving import live_routes, open_inference, page_routes, predict_routes, status_routes, websocket
from pocketvision.serving.answers import ProblemDocument, with_answers
from pocketvision.serving.docs_page import docs_page
from pocketvision.serving.fast_path import FastPath
from pocketvision.serving.models import BundleSource
from pocketvision.serving.problems import http_problem, problem_of, problem_response, refused
from pocketvision.serving.request_middleware import RequestMiddleware
from pocketvision.serving.root_path import RootPath
from pocketvision.serving.service import Service, request_id_of, service_for
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.watch import watch_folders
from pocketvision.tasks.catalog import TASKS

FLUSH = 3.0  # seconds for the last spans to be sent
ROUTERS = tuple(
    part.router for part in (predict_routes, status_routes, open_inference, websocket, live_routes, page_routes)
)

logger = logging.getLogger(__name__)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": ProblemDocument, "content": {"application/problem+json": {}}}
    for status, text in (
        (400, "The request is not HTTP as it should be."),
        (401, "No key, or a wrong one."),
        (403, "Not allowed on this server."),
        (404, "No such model, version, stream or path."),
        (405, "The path does not have this method."),
        (408, "The body took too long to come."),
        (409, "The new bundle was refused; the old one serves on. Or a stream's name is taken."),
        (413, "The body is too large, or has too many images."),
        (414, "The target is too long."),
        (415, "The content type is not one of those that are taken."),
        (422, "The image, or a field of the request, can not be read."),
        (429, "The queue is full, or another limit is reached; `Retry-After` says when to return."),
        (431, "The headers are too large."),
        (500, "The server's own fault; its log has it under the request's id."),
        (503, "The server is shutting down."),
        (504, "The answer did not come within the deadline."),
    )
}


def create_app(sources: Sequence[BundleSource], settings: ServerSettings | None = None) -> FastAPI:
    """An ASGI application that serves bundles. They are opened when it starts, which raises BundleError when one can not be."""
    return app_for(service_for(sources, settings or ServerSettings()))


def app_for(service: Service) -> FastAPI:
    """The application of a service whose models may have been loaded already."""
    app = FastAPI(
        title="PocketVision",
        version=version("pocketvision"),
        lifespan=_lifespan,
        responses=PROBLEMS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to where the client's Host header says
        servers=[{"url": service.settings.root_path}] if service.settings.root_path else None,
    )
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)

    framework = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            served = (task.kind for model in service.models.all for task in model.tasks.values())
            app.openapi_schema = with_answers(framework(), dict.fromkeys((*TASKS, *served)))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi(), service.settings.root_path))

    app.add_exception_handler(PocketVisionError, _as_problem)
    app.add_exception_handler(HTTPException, _as_problem)
    app.add_exception_handler(RequestValidationError, _as_problem)
    app.add_middleware(FastPath, routes=predict_routes.router.routes)
    app.add_middleware(RequestMiddleware, service=service)  # outside of the fast path: what is added last runs first
    if service.telemetry.tracing is not None:
        app.add_middleware(service.telemetry.tracing.around)
    own = [getattr(route, "path", "") for router in (*ROUTERS, app) for route in router.routes]
    app.add_middleware(RootPath, root_path=service.settings.root_path, own_paths=own)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    await service.models.load()
    watching = None
    if service.settings.watch > 0:
        watching = asyncio.create_task(watch_folders(service.models, service.settings.watch))
    try:
        yield
    finally:
        service.live.close()
        if watching is not None:
            watching.cancel()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
            if isinstance(ended, Exception):  # it must not keep the models from being closed, nor be passed over
                logger.error("the folders were not watched to the end", exc_info=ended)
        await service.models.close()
        if service.telemetry.tracing is not None:  # requests are done: what is left of the time is not needed for them
            await asyncio.to_thread(service.telemetry.tracing.shutdown, min(service.settings.drain, FLUSH))


async def _as_problem(request: Request, error: Exception) -> Response:
    """The document for what a route, or the framework, raised."""
    if isinstance(error, HTTPException):
        problem = http_problem(error.status_code, str(error.detail), error.headers)
    elif isinstance(error, RequestValidationError):
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        problem = refused(422, "invalid-request", "; ".join(wrong)[:500]).problem
    else:
        problem = problem_of(error)
    if problem.status == 500:
        logger.error("request %s failed", request_id_of(request), exc_info=error)
    request.scope["state"]["problem"] = problem.kind  # for the access log and metrics
    return problem_response(problem, request_id_of(request))
