"""Bodies that do not come, clients that leave, images that take too long, clocks that jump: the application without a network."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from served import picture, serving

from pocketvision.bundle import Bundle
from pocketvision.serving.app import create_app
from pocketvision.serving.batching import BatchSettings
from pocketvision.serving.models import BundleSource
from pocketvision.serving.served_model import ServedModel
from pocketvision.serving.settings import ServerSettings

JPEG = {"content-type": "image/jpeg"}


def asked(
    bundle: Bundle,
    settings: ServerSettings,
    messages: list[dict[str, Any]],
    leave_after: float | None = None,
    while_waiting: Callable[[], None] = lambda: None,
) -> tuple[list[dict[str, Any]], int]:
    """What the application sends to a POST whose messages come at once and then no more; and what stays in its queue."""

    async def scene() -> tuple[list[dict[str, Any]], int]:
        app = create_app([BundleSource("tiny", bundle.folder)], settings)
        left, sent = list(messages), []

        async def receive() -> dict[str, Any]:
            if left:
                return left.pop(0)
            if leave_after is None:
                await asyncio.Event().wait()
            await asyncio.sleep(leave_after or 0)
            while_waiting()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        async with app.router.lifespan_context(app):
            await app(
                {
                    "type": "http",
                    "method": "POST",
                    "path": "/predict",
                    "raw_path": b"/predict",
                    "query_string": b"",
                    "headers": [(b"content-type", b"image/jpeg")],
                    "http_version": "1.1",
                    "scheme": "http",
                    "server": ("x", 1),
                    "client": ("y", 2),
                    "root_path": "",
                },
                receive,
                send,
            )
            await asyncio.sleep(0.05)
            return sent, app.state.service.models.get().batcher.depth

    return asyncio.run(scene())


def test_a_body_that_does_not_come_is_not_waited_for(tiny_bundle: Bundle) -> None:
    first = {"type": "http.request", "body": b"x", "more_body": True}
    sent, _ = asked(tiny_bundle, ServerSettings(body_timeout=0.1), [first])
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["type"].endswith("body-timeout")


@pytest.mark.parametrize("how", ["in the body", "in the queue"])
def test_a_client_that_leaves_gets_no_answer_and_keeps_no_place(tiny_bundle: Bundle, how: str) -> None:
    whole = {"type": "http.request", "body": picture("red"), "more_body": how == "in the body"}
    sent, depth = asked(tiny_bundle, ServerSettings(BatchSettings(max_delay=5.0)), [whole], leave_after=0.05)
    assert (sent, depth) == ([], 0)


def test_what_takes_too_long_is_reported(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tiny_bundle.folder, settings=ServerSettings(BatchSettings(max_delay=2.0), deadline=0.1)) as client:
        late = client.post("/predict", content=picture("red"), headers=JPEG)
        assert (late.status_code, late.json()["type"]) == (504, "urn:pocketvision:problem:deadline-passed")
    hanging = threading.Event()
    monkeypatch.setattr("pocketvision.serving.served_model.ServedModel._prepare", lambda *_: hanging.wait(5))
    with serving(tiny_bundle.folder, settings=ServerSettings(BatchSettings(prepare_timeout=0.1))) as client:
        slow = client.post("/predict", content=picture("red"), headers=JPEG)
        assert (slow.status_code, slow.json()["type"]) == (422, "urn:pocketvision:problem:decode-timeout")
        hanging.set()


def test_decoders_that_all_hang_are_reported(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, decode = threading.Event(), ServedModel._prepare

    def prepare(model: ServedModel, asked: Any) -> Any:
        if asked.source == b"hang":
            hanging.wait(30)
        return decode(model, asked)

    monkeypatch.setattr(ServedModel, "_prepare", prepare)
    settings = ServerSettings(BatchSettings(prepare_timeout=0.05), threads=2)
    with serving(tiny_bundle.folder, settings=settings) as client:

        def state() -> tuple[int, int, int, bool]:
            answers = [client.get(path).status_code for path in ("/health", "/ready", "/v2/health/ready")]
            figures = client.get("/metrics").text
            return (*answers, f'abandoned_decodes{{model="tiny"}} {hung}.0' in figures)  # type: ignore[return-value]

        hung = 1
        assert client.post("/predict", content=b"hang", headers=JPEG).status_code == 422
        assert state() == (200, 200, 200, True)  # another thread is left
        assert client.post("/predict", content=picture("red"), headers=JPEG).status_code == 200
        hung = 2
        assert client.post("/predict", content=b"hang", headers=JPEG).status_code == 422
        assert state() == (200, 503, 503, True)
        monkeypatch.setattr("pocketvision.serving.status_routes.STUCK", 0.0)
        assert state() == (503, 503, 503, True)
        hanging.set()
        hung, ends = 0, time.monotonic() + 10
        while state() != (200, 200, 200, True):
            assert time.monotonic() < ends
        assert client.post("/predict", content=picture("red"), headers=JPEG).status_code == 200


def test_a_clock_that_jumps_changes_nothing(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tiny_bundle.folder) as client:
        for now in (0.0, 4e9):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            assert client.post("/predict", content=picture("red"), headers=JPEG).status_code == 200
            assert client.get("/ready").status_code == 200


def test_a_model_that_fails_is_a_500_without_its_words(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    with serving(tiny_bundle.folder) as client:
        model = client.app.state.service.models.get()  # type: ignore[attr-defined]
        monkeypatch.setattr(model._backend, "run", broken)
        answer = client.post("/predict", content=picture("red"), headers=JPEG)
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:pocketvision:problem:model-failed")
        assert "secret" not in answer.text
