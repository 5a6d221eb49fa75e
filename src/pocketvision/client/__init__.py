"""Asking a server of ours: `Client` for ordinary code, `AsyncClient` for asyncio, and what they return and raise."""

from pocketvision.client.errors import (
    ConnectionFailedError,
    RequestFailedError,
    ServerProblemError,
    UnexpectedAnswerError,
)
from pocketvision.client.retries import Backoff
from pocketvision.client.values import (
    ClassProbability,
    ImageTimings,
    ModelFigure,
    ModelName,
    ModelState,
    Outcome,
    Prediction,
    ReloadState,
    TaskProblem,
)
from pocketvision.client.wanted import Wanted
from pocketvision.errors import MissingExtraError

try:
    from pocketvision.client.async_client import AsyncClient
    from pocketvision.client.sync_client import Client
except ModuleNotFoundError as error:
    if (error.name or "").startswith("pocketvision"):
        raise
    raise MissingExtraError(f"The client (it uses {error.name})", "client") from error

__all__ = [
    "AsyncClient",
    "Backoff",
    "ClassProbability",
    "Client",
    "ConnectionFailedError",
    "ImageTimings",
    "ModelFigure",
    "ModelName",
    "ModelState",
    "Outcome",
    "Prediction",
    "ReloadState",
    "RequestFailedError",
    "ServerProblemError",
    "TaskProblem",
    "UnexpectedAnswerError",
    "Wanted",
]
