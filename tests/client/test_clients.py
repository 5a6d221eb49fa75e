"""Both clients against a network of the test's making: what is repeated, counted, bounded, kept in order and given up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import picture
from stopped_clock import Clock

from pocketvision.client import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    Outcome,
    RequestFailedError,
    ServerProblemError,
)
from pocketvision.errors import ImageError, UsageError

URL = "http://server:8000/vision"
Handler = Callable[[httpx.Request], httpx.Response]
Ask = Callable[..., Any]


def answer(label: str = "red", request_id: str = "r") -> httpx.Response:
    predicted = {
        "label": label,
        "probability": 0.5,
        "top": [{"label": label, "probability": 0.5}],
        "timings": {"decode_ms": 1, "queue_ms": 2, "inference_ms": 3, "batch": 1},
    }
    document = {"model": {"name": "m", "version": "v"}, "predictions": [predicted], "request_id": request_id}
    return httpx.Response(200, json=document)


def refusal(status: int, kind: str, **headers: str) -> httpx.Response:
    document = {"type": f"urn:pocketvision:problem:{kind}", "status": status, "detail": "No.", "request_id": "r"}
    return httpx.Response(status, json=document, headers=headers)


def one_after_another(*replies: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """A network that gives these replies in turn, and the requests that it has seen."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        reply = replies[len(seen) - 1]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    return handle, seen


@pytest.fixture(params=["threads", "asyncio"])
def ask(request: pytest.FixtureRequest, clock: Clock) -> Ask:
    """Call a client's method by name over a network of the test's making: the result of either client must be the same."""

    def through_threads(handler: Handler, method: str, *arguments: Any, **options: Any) -> Any:
        with Client(URL, transport=httpx.MockTransport(handler), backoff=clock.backoff(), **options) as client:
            result = getattr(client, method)(*arguments)
            return list(result) if method == "predict_many" else result

    def through_asyncio(handler: Handler, method: str, *arguments: Any, **options: Any) -> Any:
        async def work() -> Any:
            transport = httpx.MockTransport(handler)
            async with AsyncClient(URL, transport=transport, backoff=clock.backoff(), **options) as client:
                result = getattr(client, method)(*arguments)
                return [each async for each in result] if method == "predict_many" else await result

        return asyncio.run(work())

    return through_threads if request.param == "threads" else through_asyncio


# One request --------------------------------------------------------------------------------------------------------------


def test_a_request_is_made_as_the_server_wants_it(ask: Ask) -> None:
    handle, seen = one_after_another(answer())
    prediction = ask(handle, "predict", b"image", key="secret", headers={"X-Tenant": "7"})
    assert (prediction.label, prediction.attempts) == ("red", 1)
    assert str(seen[0].url) == "http://server:8000/vision/predict"
    assert seen[0].content == b"image"
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert seen[0].headers["x-tenant"] == "7"
    assert len(seen[0].headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    "failure",
    [
        refusal(429, "queue-full"),
        refusal(503, "shutting-down"),
        httpx.Response(502, html="<h1>Bad Gateway</h1>"),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("late"),
        httpx.ReadTimeout("late"),
        httpx.ReadError("reset"),
        httpx.WriteError("broken pipe"),
        httpx.RemoteProtocolError("server disconnected"),
    ],
    ids=lambda failure: type(failure).__name__ + str(getattr(failure, "status_code", "")),
)
def test_a_transient_failure_is_retried(ask: Ask, clock: Clock, failure: httpx.Response | Exception) -> None:
    retried: list[tuple[str, float]] = []
    handle, seen = one_after_another(failure, failure, answer("파랑"))
    prediction = ask(handle, "predict", b"x", on_retry=lambda error, pause: retried.append((error.url, pause)))
    assert (prediction.label, prediction.attempts) == ("파랑", 3)
    assert clock.pauses == [0.125, 0.25]  # half of 0.25 and of 0.5
    assert retried == [(URL, 0.125), (URL, 0.25)]
    assert len({request.headers["x-request-id"] for request in seen}) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 415, 422, 500, 504])
def test_a_permanent_failure_is_sent_once(ask: Ask, clock: Clock, status: int) -> None:
    handle, seen = one_after_another(refusal(status, "no"))
    with pytest.raises(ServerProblemError) as raised:
        ask(handle, "predict", b"x")
    assert (raised.value.status, raised.value.attempts, len(seen), clock.pauses) == (status, 1, 1, [])


def test_retry_after_is_obeyed_in_both_forms(ask: Ask, clock: Clock) -> None:
    date = formatdate(clock.today + 20, usegmt=True)
    first, second = refusal(429, "rate-limit", **{"Retry-After": "3"}), refusal(503, "busy", **{"Retry-After": date})
    handle, _ = one_after_another(first, second, answer())
    assert ask(handle, "predict", b"x").attempts == 3
    assert clock.pauses == [3.125, 20.25]


def test_retries_are_counted_and_end(ask: Ask) -> None:
    handle, seen = one_after_another(*[httpx.ConnectError("refused")] * 4)
    with pytest.raises(ConnectionFailedError) as raised:
        ask(handle, "predict", b"x", retries=3)
    assert (raised.value.attempts, len(seen)) == (4, 4)
    assert str(raised.value) == f"{URL}: no connection (refused), after 4 attempts"
    assert raised.value.request_id == seen[0].headers["x-request-id"]
    handle, seen = one_after_another(refusal(503, "busy"))
    with pytest.raises(ServerProblemError):
        ask(handle, "predict", b"x", retries=0)


def test_the_deadline_ends_them_too(ask: Ask, clock: Clock) -> None:
    handle, seen = one_after_another(*[refusal(503, "busy", **{"Retry-After": "4"})] * 9)
    with pytest.raises(ServerProblemError) as raised:
        ask(handle, "predict", b"x", deadline=10)
    assert sum(clock.pauses) < 10
    assert raised.value.attempts == len(seen) == 3
    assert raised.value.retry_after == 4


def test_an_attempt_has_no_more_time_than_is_left(ask: Ask, clock: Clock) -> None:
    handle, seen = one_after_another(refusal(503, "busy", **{"Retry-After": "4"}), answer())
    ask(handle, "predict", b"x", timeout=7, deadline=10)
    left = [request.extensions["timeout"]["read"] for request in seen]
    assert left == [7, pytest.approx(10 - sum(clock.pauses))]


def test_a_reload_is_repeated_only_where_it_was_not_begun(ask: Ask) -> None:
    state = {"name": "m", "outcome": "replaced", "version": "v", "reason": ""}
    done = httpx.Response(200, json={"reloads": [state]})
    handle, seen = one_after_another(httpx.ConnectError("refused"), refusal(503, "busy"), done)
    assert vars(ask(handle, "reload", "m")[0]) == state
    assert seen[0].url.path == "/vision/models/m/reload"
    for failure in (httpx.ReadTimeout("late"), httpx.ReadError("reset"), httpx.Response(502)):
        handle, seen = one_after_another(failure)
        with pytest.raises(RequestFailedError):
            ask(handle, "reload", "m")
        assert len(seen) == 1


def test_models_and_states(ask: Ask, clock: Clock) -> None:
    model = {
        "name": "m",
        "version": "v",
        "labels": ["red", "파랑"],
        "architecture": "a",
        "height": 16,
        "width": 32,
        "loaded_at": 1.5,
    }
    handle, _ = one_after_another(refusal(503, "busy"), httpx.Response(200, json={"models": [model]}))
    (state,) = ask(handle, "models")
    assert vars(state) == {
        **model,
        "labels": ("red", "파랑"),
        "headline": "",
        "figures": (),
        "tasks": {"classification": "classification"},
        "says_unsure": False,
    }
    figure = {"set": "test", "name": "accuracy", "value": 0.9, "interval": [0.8, 0.95], "images": 40, "text": "90 %"}
    measured = {**model, "headline": "90 %", "figures": [figure, {**figure, "set": "selection", "interval": None}]}
    (state,) = ask(lambda _: httpx.Response(200, json={"models": [measured]}), "models")
    assert (state.headline, state.figures[0].interval, state.figures[1].set) == ("90 %", (0.8, 0.95), "selection")
    assert ask(lambda _: httpx.Response(200, json={"status": "alive"}), "health") == "alive"
    assert ask(lambda _: httpx.Response(200, json={"status": "ready"}), "ready") is True
    clock.pauses.clear()
    for failure in (refusal(503, "not-ready"), httpx.Response(502), httpx.ConnectError("x"), httpx.ReadTimeout("x")):
        handle, seen = one_after_another(failure)
        assert ask(handle, "ready") is False
        assert (len(seen), clock.pauses) == (1, [])
    with pytest.raises(ServerProblemError):
        ask(lambda _: httpx.Response(404, html="no such page"), "ready")


# Many ---------------------------------------------------------------------------------------------------------------------


def echo(request: httpx.Request) -> httpx.Response:
    """Answers with the content as the label; `bad` is refused."""
    if request.content == b"bad":
        return refusal(422, "unreadable-image")
    return answer(request.content.decode())


def test_many_keep_their_order_and_failures_their_place(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "파일.jpg"
    file.write_bytes(b"from a file")
    images = [b"0", b"bad", file, tmp_path / "missing.jpg", *(str(number).encode() for number in range(4, 60))]
    outcomes = ask(echo, "predict_many", images)
    assert [each.prediction.label if each.prediction else None for each in outcomes] == [
        "0",
        None,
        "from a file",
        None,
        *map(str, range(4, 60)),
    ]
    assert isinstance(outcomes[1].error, ServerProblemError)
    assert isinstance(outcomes[3].error, ImageError)
    assert [outcomes[1].path, outcomes[2].path] == ["", str(file)]
    assert ask(echo, "predict_many", []) == []


def test_a_busy_server_costs_many_images_none(ask: Ask, clock: Clock) -> None:
    calls = iter(range(10_000))

    def busy(request: httpx.Request) -> httpx.Response:
        return refusal(429, "queue-full", **{"Retry-After": "1"}) if next(calls) % 3 else echo(request)

    outcomes = ask(busy, "predict_many", [str(number).encode() for number in range(40)], retries=100, deadline=1e6)
    assert [each.prediction.label for each in outcomes] == [str(number) for number in range(40)]
    assert sum(each.prediction.attempts - 1 for each in outcomes) == len(clock.pauses) > 40


def test_one_image_is_not_many(ask: Ask) -> None:
    for wrong in ("photo.jpg", b"bytes"):
        with pytest.raises(UsageError, match="iterable"):
            ask(echo, "predict_many", wrong)
    with Client(URL) as client, pytest.raises(UsageError, match="concurrency is 0"):
        client.predict_many([], concurrency=0)


def test_what_is_no_image_is_the_callers_error(ask: Ask) -> None:
    with pytest.raises(TypeError, match="is not an image"):
        ask(echo, "predict_many", [b"0", 3])


class Gate:
    """A network whose answers wait until they are let through; it counts how many wait at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.full = threading.Event()
        self.waiting = self.most = 0

    def transport(self, full: int) -> httpx.MockTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            if self.waiting == full:
                self.full.set()
            while not self.open.is_set():
                await asyncio.sleep(0.001)
            self.waiting -= 1
            return echo(request)

        return httpx.MockTransport(handle)  # type: ignore[arg-type]


def endless(read: list[int]) -> Iterator[bytes]:
    """Images without end, counted as they are read."""
    while True:
        read.append(len(read))
        yield str(len(read)).encode()


def test_thousands_are_read_as_they_are_answered_and_few_are_in_flight() -> None:
    gate, read = Gate(), []  # type: tuple[Gate, list[int]]
    with Client(URL, transport=gate.transport(3)) as client:
        outcomes = client.predict_many(endless(read), concurrency=3)
        assert read == []
        first: list[Outcome] = []
        taking = threading.Thread(target=lambda: first.append(next(outcomes)))
        taking.start()
        assert gate.full.wait(10)
        gate.open.set()
        taking.join(10)
        assert first[0].prediction is not None
        assert first[0].prediction.label == "1"
        for number, outcome in zip(range(2, 2000), outcomes, strict=False):
            assert outcome.prediction is not None
            assert outcome.prediction.label == str(number)
            assert len(read) <= number + 6
        outcomes.close()  # type: ignore[attr-defined]
    assert gate.most == 3


def test_leaving_early_ends_what_is_in_flight() -> None:
    gate, read = Gate(), []  # type: tuple[Gate, list[int]]

    def interrupted() -> Iterator[bytes]:
        for image in endless(read):
            if len(read) > 4:
                gate.full.wait(10)
                raise KeyboardInterrupt  # what Ctrl-C does in the thread that takes outcomes
            yield image

    before = threading.active_count()
    with Client(URL, transport=gate.transport(4)) as client, pytest.raises(KeyboardInterrupt):
        list(client.predict_many(interrupted(), concurrency=4))
    assert threading.active_count() == before
    assert gate.waiting == 4  # none was answered: they were abandoned


def test_asynchronous_sources_and_leaving_early_within_asyncio() -> None:
    async def camera() -> AsyncIterator[bytes]:
        for number in range(1000):
            await asyncio.sleep(0)
            yield str(number).encode()

    async def work() -> list[str]:
        labels = []
        async with AsyncClient(URL, transport=httpx.MockTransport(echo)) as client:
            outcomes = client.predict_many(camera(), concurrency=2)
            async for outcome in outcomes:
                assert outcome.prediction is not None
                labels.append(outcome.prediction.label)
                if len(labels) == 20:
                    break
            await outcomes.aclose()  # type: ignore[attr-defined]
            assert len(asyncio.all_tasks()) == 1
        return labels

    assert asyncio.run(work()) == [str(number) for number in range(20)]


def test_a_client_that_is_closed_asks_nothing_again() -> None:
    """Ctrl-C may close it while a request waits for its answer, which says that its connection was lost."""
    seen: list[httpx.Request] = []

    def lost(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        client.close()
        raise httpx.ReadError("closed")

    async def lost_within(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        await within.close()
        raise httpx.ReadError("closed")

    client = Client(URL, transport=httpx.MockTransport(lost))
    with pytest.raises(ConnectionFailedError):
        client.predict(picture("red"))
    within = AsyncClient(URL, transport=httpx.MockTransport(lost_within))
    with pytest.raises(ConnectionFailedError):
        asyncio.run(within.predict(picture("red")))
    assert len(seen) == 2


def test_threads_may_share_a_client() -> None:
    labels: dict[str, str] = {}
    with Client(URL, transport=httpx.MockTransport(echo)) as client:

        def work(name: str) -> None:
            labels[name] = client.predict(name.encode()).label

        threads = [threading.Thread(target=work, args=(str(number),)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert labels == {str(number): str(number) for number in range(20)}


def test_pictures_are_sent_whole() -> None:
    handle, seen = one_after_another(answer())
    with Client(URL, transport=httpx.MockTransport(handle)) as client:
        client.predict(picture("red"), top_k=3, model="m/ä", version="1")
    assert seen[0].content == picture("red")
    assert dict(seen[0].url.params) == {"top_k": "3", "model": "m/ä", "version": "1"}
    assert seen[0].headers["content-type"] == "application/octet-stream"


def test_an_answer_that_drips_is_bounded_by_the_timeout_of_the_whole_attempt() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async def work() -> None:
        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with AsyncClient(f"http://127.0.0.1:{port}", timeout=0.3, retries=0) as client:
                with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.3 s"):
                    await client.health()

    asyncio.run(work())
