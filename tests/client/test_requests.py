"""What is sent and what answers mean, without a network: addresses, keys, problem documents, pages of proxies, foreign JSON."""

import copy
import json
from typing import Any

import pytest

from pocketvision.client import Client, Prediction, ServerProblemError, UnexpectedAnswerError
from pocketvision.client.requests import (
    Reply,
    answer_of,
    models_request,
    predict_request,
    reload_request,
    status_request,
)
from pocketvision.client.settings import base_url
from pocketvision.errors import UsageError

URL = "http://server:8000"
ANSWER: dict[str, Any] = {
    "model": {"name": "tiny", "version": "0123456789ab"},
    "predictions": [
        {
            "label": "파랑",
            "probability": 0.75,
            "top": [{"label": "파랑", "probability": 0.75}, {"label": "red", "probability": 0.2}],
            "timings": {"decode_ms": 1.5, "queue_ms": 0, "inference_ms": 2.25, "batch": 3},
            "new in a later version": True,
        }
    ],
    "request_id": "abc",
}
PREDICT = predict_request(b"image", "application/octet-stream", 2, "tiny", None)


def answered(status: int, body: bytes, headers: dict[str, str] | None = None) -> Prediction:
    return answer_of(PREDICT, Reply(status, headers or {}, body), URL, 1, today=0.0)


def test_a_prediction_has_the_names_of_the_api() -> None:
    prediction = answered(200, json.dumps(ANSWER).encode())
    assert (prediction.label, prediction.probability, prediction.request_id) == ("파랑", 0.75, "abc")
    assert [(each.label, each.probability) for each in prediction.top] == [("파랑", 0.75), ("red", 0.2)]
    told = ANSWER["predictions"][0]["timings"]
    assert {name: getattr(prediction.timings, name) for name in told} == told
    assert vars(prediction.model) == ANSWER["model"]


def without(*path: str | int) -> dict[str, Any]:
    answer: Any = copy.deepcopy(ANSWER)
    inner = answer
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return answer  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to the router</html>",
        b"",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"predictions": []}',
        b'{"predictions": 7}',
        b'{"predictions": [3]}',
        json.dumps({**ANSWER, "request_id": 5}).encode(),
        json.dumps(without("model", "version")).encode(),
        json.dumps(without("predictions", 0, "timings")).encode(),
        json.dumps(without("predictions", 0, "top", 0, "probability")).encode(),
        json.dumps({**ANSWER, "predictions": [{**ANSWER["predictions"][0], "probability": "high"}]}).encode(),
        json.dumps({**ANSWER, "predictions": [{**ANSWER["predictions"][0], "probability": float("nan")}]}).encode(),
        json.dumps({**ANSWER, "predictions": [{**ANSWER["predictions"][0], "probability": 10**4000}]}).encode(),
        json.dumps(ANSWER).replace('"batch": 3', '"batch": 1e999').encode(),
    ],
)
def test_another_programs_answer_is_reported_as_that(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError, match=r"http://server:8000: the answer to POST /predict .*right\?"):
        answered(200, body, {"content-type": "text/html; charset=utf-8"})


def test_a_problem_document_is_an_error_with_its_members() -> None:
    document = {
        "type": "urn:pocketvision:problem:queue-full",
        "title": "Queue full",
        "status": 429,
        "detail": "The queue is full.",
        "request_id": "r1",
        "error": "The queue is full.",
    }
    with pytest.raises(ServerProblemError) as raised:
        answered(429, json.dumps(document).encode(), {"retry-after": "3"})
    error = raised.value
    assert (error.status, error.kind, error.detail, error.request_id, error.retry_after) == (
        429,
        "queue-full",
        "The queue is full.",
        "r1",
        3.0,
    )
    assert str(error) == "http://server:8000: The queue is full. [429 queue-full] (request r1)"


@pytest.mark.parametrize(
    "body",
    [
        b"<html><h1>502 Bad Gateway</h1>nginx</html>",
        b"\xff\xfe",
        b"{}",
        b'{"type": "about:blank", "detail": "x"}',
        b"[]",
    ],
)
def test_a_proxys_page_is_an_error_without_its_html(body: bytes) -> None:
    with pytest.raises(ServerProblemError) as raised:
        answered(502, body, {"content-type": "text/html", "retry-after": "2"})
    error = raised.value
    assert (error.status, error.kind, error.retry_after) == (502, "bad-gateway", 2.0)
    assert error.request_id == PREDICT.request_id
    assert "nginx" not in str(error)
    assert "proxy" in str(error)


def test_a_problem_without_its_status_has_that_of_the_answer() -> None:
    body = json.dumps({"type": "urn:pocketvision:problem:queue-full", "detail": "Full."}).encode()
    with pytest.raises(ServerProblemError) as refused:
        answered(429, body, {"content-type": "application/problem+json"})
    assert (refused.value.status, refused.value.kind) == (429, "queue-full")


def test_redirects_are_not_followed_but_reported() -> None:
    with pytest.raises(ServerProblemError, match=r"leads on to 'https://server/'") as raised:
        answered(308, b"", {"location": "https://server/"})
    assert raised.value.kind == "permanent-redirect"
    with pytest.raises(ServerProblemError) as raised:
        answered(599, b"")
    assert raised.value.kind == "unknown-status"


def test_requests_say_what_they_want() -> None:
    assert (PREDICT.method, PREDICT.path, PREDICT.query) == ("POST", "/predict", {"top_k": "2", "model": "tiny"})
    assert PREDICT.headers["Content-Type"] == "application/octet-stream"
    assert PREDICT.headers["X-Request-ID"] == PREDICT.request_id
    assert predict_request(b"", "image/png", None, None, None).query == {}
    assert reload_request("a/b ü?").path == "/models/a%2Fb%20%C3%BC%3F/reload"
    assert not reload_request("a").repeatable
    assert models_request().repeatable
    assert "Content-Type" not in status_request("/ready").headers


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org/vision/v1//", "https://example.org/vision/v1"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
    ],
)
def test_addresses(url: str, base: str) -> None:
    assert base_url(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "127.0.0.1",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x:y",
        "http://x?a=b",
        "http://x#a",
        "http://[::1",
        "http://a b/",
        "http://user:secret@x/",
        "http://user@x",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        base_url(url)
    assert "secret" not in str(raised.value)


def test_a_password_in_the_address_is_refused_with_what_to_give_in_its_place() -> None:
    with pytest.raises(UsageError, match=r"--key-file; in Python `key`.*`headers`"):
        base_url("http://user:secret@x/")


def test_settings_that_make_no_sense() -> None:
    for options in ({"timeout": 0}, {"retries": -1}, {"deadline": 0}, {"deadline": float("nan")}):
        with pytest.raises(UsageError, match=next(iter(options))):
            Client(URL, **options)  # type: ignore[arg-type]
    for key in ("", "two words", "line\nbreak", "schlüssel", "열쇠"):
        with pytest.raises(UsageError) as raised:
            Client(URL, key=key)
        assert not key or key not in str(raised.value)
