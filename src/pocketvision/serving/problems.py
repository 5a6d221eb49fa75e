"""Errors as clients see them: problem documents (RFC 9457), one for every kind, without anything of the inside."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from pocketvision.errors import BundleError, ImageError, PocketVisionError, UsageError
from pocketvision.json_text import json_text
from pocketvision.serving.batch_threads import ModelError
from pocketvision.serving.batching import ClosedError, DeadlineError, PreparationTimeoutError, QueueFullError

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    """status: HTTP's. kind: a short name that never changes, for programs. detail: a sentence for people.

    headers: of the answer. more: further members of the document.
    """

    status: int
    kind: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def document(self, request_id: str) -> dict[str, Any]:
        """RFC 9457's members, the request's id, and `error` with the sentence, which clients of the v2 protocol look for."""
        return {
            "type": f"urn:pocketvision:problem:{self.kind}",
            "title": self.kind.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            "error": self.detail,
            **self.more,
        }


class ProblemError(PocketVisionError):
    """A request that ends with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class UnknownModelError(PocketVisionError):
    """A model or version that is not served."""


def refused(status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> ProblemError:
    """A ProblemError, to be raised. `more` are further members of the document."""
    return ProblemError(Problem(status, kind, detail, headers or {}, more))


def unauthorized(how: str) -> Problem:
    """No key, or a wrong one; `how` says how one is sent."""
    return Problem(401, "unauthorized", f"This server wants a key: {how}.", {"WWW-Authenticate": "Bearer"})


def retry_after(seconds: float) -> dict[str, str]:
    """The Retry-After header."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def problem_of(error: Exception) -> Problem:
    """The problem that an error is shown as. What is not expected is an internal error without any detail."""
    match error:
        case ProblemError():
            return error.problem
        case ImageError():
            return Problem(422, "unreadable-image", f"The image can not be read: {error.reason}")
        case PreparationTimeoutError():
            return Problem(422, "decode-timeout", f"The image can not be read in time: {error}")
        case QueueFullError():
            return Problem(429, "queue-full", f"The queue is full: {error}", retry_after(error.retry_after))
        case DeadlineError():
            return Problem(504, "deadline-passed", str(error))
        case ClosedError():
            return Problem(503, "shutting-down", "The server is shutting down.", retry_after(1))
        case UnknownModelError():
            return Problem(404, "unknown-model", str(error))
        case UsageError():
            return Problem(422, "invalid-request", str(error))
        case ModelError():
            return Problem(500, "model-failed", "The model failed on the image.")
        case BundleError():
            return Problem(409, "bundle-refused", str(error))
        case _:
            return Problem(500, "internal-error", "Something went wrong here; the log has it under the request's id.")


def http_problem(status: int, detail: str, headers: Mapping[str, str] | None) -> Problem:
    """The problem for what the framework refuses by itself: no such path, a method that a path does not have."""
    kind = HTTPStatus(status).phrase.lower().replace(" ", "-")
    return Problem(status, kind, detail, headers or {})


def problem_response(problem: Problem, request_id: str) -> Response:
    """The answer that carries a problem."""
    content = json_text(problem.document(request_id)).encode()
    return Response(content, problem.status, dict(problem.headers), MEDIA_TYPE)
