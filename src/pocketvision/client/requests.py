"""Requests and what their answers mean, without sending anything: the part that both clients have in common."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pocketvision.client.errors import ServerProblemError, UnexpectedAnswerError
from pocketvision.client.retries import retry_after
from pocketvision.client.values import (
    ModelState,
    Prediction,
    ReloadState,
    models_from,
    prediction_from,
    reloads_from,
    status_from,
)
from pocketvision.client.wanted import Wanted

Value = TypeVar("Value", covariant=True)
Parse = Callable[[Mapping[str, Any], int], Value]

REQUEST_ID = "X-Request-ID"
_PROBLEM_TYPE = "urn:pocketvision:problem:"


@dataclass(frozen=True)
class Request(Generic[Value]):
    """path: below the server's address. parse: makes the answer of its JSON and the number of attempts. repeatable: may
    be worked on twice without harm. request_id: the same for every attempt, so that the server's log shows them
    together."""

    method: str
    path: str
    parse: Parse[Value]
    query: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    media_type: str | None = None
    repeatable: bool = True
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def headers(self) -> dict[str, str]:
        """The request's own headers."""
        typed = {} if self.media_type is None else {"Content-Type": self.media_type}
        return {REQUEST_ID: self.request_id, **typed}


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP. headers: looked up by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def predict_request(
    content: bytes,
    media_type: str,
    top_k: int | None,
    model: str | None,
    version: str | None,
    wanted: Wanted | None = None,
) -> Request[Prediction]:
    """Answer about one image."""
    query = (wanted or Wanted()).to_query(top_k, model, version)
    return Request("POST", "/predict", prediction_from, query, content, media_type)


def models_request() -> Request[tuple[ModelState, ...]]:
    """List the models."""
    return Request("GET", "/models", models_from)


def reload_request(name: str) -> Request[tuple[ReloadState, ...]]:
    """Read a model's folder anew. Not repeatable: a reload that is under way need not be followed by a second one."""
    return Request("POST", f"/models/{quote(name, safe='')}/reload", reloads_from, repeatable=False)


def status_request(path: str) -> Request[str]:
    """Ask for /health or /ready."""
    return Request("GET", path, status_from)


def answer_of(request: Request[Value], reply: Reply, base: str, attempts: int, today: float) -> Value:
    """The answer to `request`. Raises ServerProblemError and UnexpectedAnswerError. base: the server's address, for
    their messages."""
    if not 200 <= reply.status < 300:
        raise problem_of(reply, base, request.request_id, today)
    kind = reply.headers.get("content-type", "no content type").partition(";")[0][:60]
    return parsed_answer(
        request.parse, _object(reply.body), attempts, base, f"{request.method} {request.path} (its type is {kind})"
    )


def parsed_answer(parse: Parse[Value], document: dict[str, Any] | None, attempts: int, base: str, to: str) -> Value:
    """The answer in a JSON object (None: there was none) to what is called `to`. Raises UnexpectedAnswerError."""
    try:
        if document is None:
            raise ValueError("it is no JSON object")
        return parse(document, attempts)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        said = f"{type(error).__name__}: {str(error)[:80]}"
        raise UnexpectedAnswerError(
            base, f"the answer to {to} is none of `pocketvision serve` ({said}); is the address right?"
        ) from error


def problem_of(reply: Reply, base: str, request_id: str, today: float) -> ServerProblemError:
    """The error that an answer without success is."""
    retry = retry_after(reply.headers, today)
    known = reply.headers.get("x-request-id", request_id)
    document = _object(reply.body)
    if document is not None and str(document.get("type", "")).startswith(_PROBLEM_TYPE):
        return problem_from({"status": reply.status, **document}, base, known, retry)
    try:
        name = HTTPStatus(reply.status).phrase
    except ValueError:
        name = "Unknown status"
    detail = f"{name}, and no word of `pocketvision serve` about it: a proxy or another program answered"
    if 300 <= reply.status < 400:
        detail = f"it leads on to {reply.headers.get('location', 'nowhere')[:200]!r}; use the address it leads to"
    return ServerProblemError(base, detail, reply.status, name.lower().replace(" ", "-"), known, retry)


def problem_from(
    document: Mapping[str, Any], base: str, request_id: str, retry: float | None = None, member: str = "type"
) -> ServerProblemError:
    """The error of a problem document. member: where its type stands."""
    status = document.get("status")
    kind = str(document.get(member, "")).removeprefix(_PROBLEM_TYPE)
    return ServerProblemError(
        base,
        str(document.get("detail", kind)),
        status if type(status) is int else 500,
        kind,
        str(document.get("request_id") or request_id),
        retry,
    )


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
