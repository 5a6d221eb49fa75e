"""The batcher: order, bounds, deadlines, cancellation, errors of the model, shutdown."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pocketvision.errors import ImageError, UsageError
from pocketvision.serving.batch_threads import WAITING_PER_ITEM, Job, ModelError
from pocketvision.serving.batching import (
    Batcher,
    BatchSettings,
    ClosedError,
    DeadlineError,
    PreparationTimeoutError,
    QueueFullError,
    TimedResult,
)
from pocketvision.serving.told_predictions import prediction_answer

Ints = Batcher[int, int, int]


def negated(items: Sequence[int]) -> list[int]:
    return [-item for item in items]


def same(raw: int) -> int:
    return raw


@asynccontextmanager
async def batcher(
    run: Callable[[Sequence[int]], Sequence[int]] = negated,
    prepare: Callable[[int], int] = same,
    *,
    on_batch: Callable[[int, float], None] | None = None,
    **how: float,
) -> AsyncIterator[Ints]:
    made = Batcher(prepare, run, BatchSettings(**how), on_batch=on_batch)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close(drain=5)


def soon(seconds: float = 5) -> float:
    return time.monotonic() + seconds


def value(outcome: TimedResult[int] | Exception) -> int:
    assert isinstance(outcome, TimedResult), outcome
    return outcome.value


class Gate:
    """A `run` that waits until it is opened, and tells when it was entered."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.opened.wait(5)
        return negated(items)

    async def is_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 5)


@settings(max_examples=40, deadline=None)
@given(
    requests=some.lists(some.lists(some.integers(), min_size=1, max_size=5), min_size=1, max_size=12),
    max_batch=some.integers(1, 7),
    max_delay=some.sampled_from([0.0, 0.002]),
    threads=some.integers(1, 3),
    failing=some.integers(2, 5),
)
def test_every_item_gets_its_own_answer(
    requests: list[list[int]], max_batch: int, max_delay: float, threads: int, failing: int
) -> None:
    sizes: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        assert 1 <= len(items) <= max_batch
        if any(item % failing == 0 for item in items):
            raise ValueError("a bad item")
        return negated(items)

    async def scene() -> None:
        async with batcher(
            run, on_batch=lambda size, _: sizes.append(size), max_batch=max_batch, max_delay=max_delay, threads=threads
        ) as made:
            answers = await asyncio.gather(*(made.submit(request, deadline=soon()) for request in requests))
            assert made.depth == 0
        for request, outcomes in zip(requests, answers, strict=True):
            assert len(outcomes) == len(request)
            for item, outcome in zip(request, outcomes, strict=True):
                if item % failing == 0:
                    assert isinstance(outcome, ModelError)
                    assert isinstance(outcome.__cause__, ValueError)
                else:
                    assert value(outcome) == -item
        assert sum(sizes) == sum(map(len, requests))

    asyncio.run(scene())


def test_the_more_wait_the_more_are_run_together_and_in_order() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=4) as made:
            first = asyncio.create_task(made.submit([0], deadline=soon()))
            await gate.is_entered()
            others = [asyncio.create_task(made.submit([number], deadline=soon())) for number in range(1, 18)]
            await asyncio.sleep(0.05)
            gate.opened.set()
            answers = await asyncio.gather(first, *others)
        waiting, expected = list(range(1, 18)), [[0]]
        while waiting:
            size = min(max(len(waiting) // WAITING_PER_ITEM, 1), 4)
            expected.append(waiting[:size])
            del waiting[:size]
        assert gate.batches == expected
        assert {len(batch) for batch in expected} >= {1, 2, 4}
        assert [value(answer[0]) for answer in answers] == [-number for number in range(18)]
        assert isinstance(answers[1][0], TimedResult)
        timing = answers[1][0].timing
        assert timing.batch == 4
        assert timing.wait >= 0.04

    asyncio.run(scene())


def test_what_waits_is_shared_by_the_threads() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=8, threads=2) as made:
            running = asyncio.create_task(made.submit([0, 1], deadline=soon()))
            while len(gate.batches) < 2:
                await asyncio.sleep(0.01)
            others = asyncio.create_task(made.submit(range(2, 14), deadline=soon()))
            await asyncio.sleep(0.05)
            gate.opened.set()
            await running
            assert [value(outcome) for outcome in await others] == [-number for number in range(2, 14)]
        assert max(len(batch) for batch in gate.batches) <= 12 // 2 // WAITING_PER_ITEM

    asyncio.run(scene())


def test_one_that_hangs_its_preparation_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.serving.batch_threads.WAITING_PER_ITEM", 1)
    hanging, other = threading.Event(), threading.Event()

    def prepare(raw: int) -> int:
        if raw == 4:
            hanging.set()
            assert other.wait(5)
        return raw

    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, prepare, max_batch=8, threads=2) as made:
            first = asyncio.create_task(made.submit([0], deadline=soon()))
            await gate.is_entered()
            # The second thread prepares four, which would be run with the fifth, that hangs; the first takes them.
            others = asyncio.create_task(made.submit(range(1, 12), deadline=soon()))
            assert await asyncio.to_thread(hanging.wait, 5)
            gate.opened.set()
            await first
            while sum(map(len, gate.batches)) < 11:
                await asyncio.sleep(0.01)
            assert sorted(item for batch in gate.batches for item in batch) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
            other.set()
            assert [value(outcome) for outcome in await others] == [-number for number in range(1, 12)]

    asyncio.run(scene())


def test_a_delay_is_not_made_longer_by_those_that_still_are_to_be_prepared() -> None:
    def prepare(raw: int) -> int:
        time.sleep(0.05)
        return raw

    async def scene() -> None:
        sizes: list[int] = []
        async with batcher(
            prepare=prepare, max_batch=8, max_delay=0.06, on_batch=lambda size, _: sizes.append(size)
        ) as made:
            outcomes = await made.submit(range(8), deadline=soon())
        assert [value(outcome) for outcome in outcomes] == [-number for number in range(8)]
        assert max(sizes) < 8

    asyncio.run(scene())


def test_one_that_leaves_as_it_is_ready_is_counted_once_or_not_at_all() -> None:
    counted: list[int] = []

    async def scene() -> None:
        made = Batcher(same, negated, BatchSettings(), on_abandoned=counted.append)
        job = Job(1, soon(), time.monotonic(), asyncio.get_running_loop().create_future())
        made._end_abandoned(job)
        assert counted == []
        made._abandoned.add(job)
        made._end_abandoned(job)
        assert counted == [-1]
        await made.close(drain=1)

    asyncio.run(scene())


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_of_an_image_stays_with_an_idle_thread_or_an_error(broken: bool) -> None:
    class Body:
        pass

    def prepare(body: Body) -> Body:
        if broken:
            raise ImageError("image bytes", "it is not an image")
        return body

    async def scene() -> None:
        made = Batcher(prepare, lambda items: list(range(len(items))), BatchSettings())
        body = Body()
        seen = weakref.ref(body)
        outcomes = await made.submit([body], deadline=soon())
        assert isinstance(outcomes[0], ImageError) == broken
        if broken:
            with pytest.raises(ImageError):
                prediction_answer(None, outcomes, 5, "x")  # type: ignore[arg-type]
        del body, outcomes
        await asyncio.sleep(0.1)
        assert seen() is None
        await made.close(drain=1)

    gc.disable()
    try:
        asyncio.run(scene())
    finally:
        gc.enable()


def test_what_is_ready_does_not_wait_for_the_images_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.serving.batch_threads.WAITING_PER_ITEM", 1)
    places = threading.Semaphore(1)

    def prepare(raw: int) -> int:
        if raw == 1:
            taken.set()
        return raw

    async def scene() -> None:
        made = Batcher(prepare, negated, BatchSettings(max_batch=2), preparing=places)
        running = asyncio.create_task(made.submit([1, 2], deadline=soon()))
        await asyncio.to_thread(taken.wait, 5)
        outcomes = await running
        assert [value(outcome) for outcome in outcomes] == [-1, -2]
        # One is ready and another asked for while somebody else has the only place.
        threads = made._threads
        ready, waiting = (Job(number, soon(), 0.0, asyncio.get_running_loop().create_future()) for number in (3, 4))
        places.acquire()
        with threads._changed:
            ready.ready, ready.began, ready.item = 1.0, 1.0, 3
            threads._ready[ready], threads._waiting[waiting] = None, None
            threads._changed.notify()
        assert value(await asyncio.wait_for(ready.outcome, 5)) == -3
        assert not waiting.outcome.done()
        places.release()
        assert value(await asyncio.wait_for(waiting.outcome, 5)) == -4
        await made.close(drain=1)

    taken = threading.Event()
    asyncio.run(scene())


def test_an_answer_comes_at_once_without_a_delay_and_after_it_with_one() -> None:
    async def scene() -> None:
        for delay in (0.0, 0.15):
            async with batcher(max_delay=delay) as made:
                started = time.monotonic()
                await made.submit([1], deadline=soon())
                taken = time.monotonic() - started
                assert delay <= taken < delay + 0.1

    asyncio.run(scene())


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    async def scene() -> None:
        async with batcher(max_batch=3, max_delay=3.0) as made:
            started = time.monotonic()
            await made.submit([1, 2, 3], deadline=soon())
            assert time.monotonic() - started < 1

    asyncio.run(scene())


def test_a_full_queue_refuses_whole_requests_with_retry_after() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, queue=4) as made:
            first = asyncio.create_task(made.submit([1, 2, 3], deadline=soon()))
            await gate.is_entered()
            with pytest.raises(QueueFullError) as refused:
                await made.submit([4, 5], deadline=soon())
            assert refused.value.retry_after >= 1
            assert made.depth == 3
            last = asyncio.create_task(made.submit([6], deadline=soon()))
            await asyncio.sleep(0)
            assert made.depth == 4
            gate.opened.set()
            assert [value(outcome) for outcome in await first + await last] == [-1, -2, -3, -6]
            with pytest.raises(UsageError):
                await made.submit([1] * 5, deadline=soon())

    asyncio.run(scene())


def test_what_would_probably_come_too_late_is_refused_at_once() -> None:
    def slowly(items: Sequence[int]) -> list[int]:
        time.sleep(0.05)
        return negated(items)

    async def scene() -> None:
        async with batcher(slowly, max_batch=1, max_wait=0.2) as queue:
            for number in range(20):  # learns how slow the model is, one by one
                await queue.submit([number], deadline=soon())
            outcomes = await asyncio.gather(
                *(queue.submit([number], deadline=soon()) for number in range(40)), return_exceptions=True
            )
            refused = [each for each in outcomes if isinstance(each, BaseException)]
            assert 30 <= len(refused) < 40
            assert all("an answer would take about" in str(each) for each in refused)
            # A request alone is taken, however many images it has: nobody is before it.
            assert [value(each) for each in await queue.submit(range(8), deadline=soon())] == [-n for n in range(8)]

    asyncio.run(scene())


def test_a_deadline_ends_the_wait_and_frees_the_place() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=1, queue=2) as made:
            first = asyncio.create_task(made.submit([1], deadline=soon()))
            await gate.is_entered()
            (outcome,) = await made.submit([2], deadline=soon(0.05))
            assert isinstance(outcome, DeadlineError)
            assert made.depth == 1
            gate.opened.set()
            await first
            (passed,) = await made.submit([3], deadline=time.monotonic() - 1)
            assert isinstance(passed, DeadlineError)
        assert gate.batches[0] == [1]
        assert [2] not in gate.batches

    asyncio.run(scene())


def test_a_client_that_leaves_takes_its_items_out() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=8, queue=3) as made:
            first = asyncio.create_task(made.submit([1], deadline=soon()))
            await gate.is_entered()
            leaver = asyncio.create_task(made.submit([2, 3], deadline=soon()))
            await asyncio.sleep(0.05)
            leaver.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaver
            assert made.depth == 1
            other = asyncio.create_task(made.submit([4], deadline=soon()))
            await asyncio.sleep(0.05)
            gate.opened.set()
            assert [value(outcome) for outcome in await first + await other] == [-1, -4]
        assert gate.batches == [[1], [4]]

    asyncio.run(scene())


def test_a_request_cancelled_before_it_began_leaves_no_place_taken() -> None:
    async def scene() -> None:
        async with batcher(queue=4) as made:
            for _ in range(10):
                leaver = asyncio.create_task(made.submit([1, 2, 3], deadline=soon()))
                await asyncio.sleep(0)
                leaver.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await leaver
            await asyncio.sleep(0.05)
            assert made.depth == 0
            assert [value(each) for each in await made.submit([1, 2, 3, 4], deadline=soon())] == [-1, -2, -3, -4]

    asyncio.run(scene())


def test_an_item_that_can_not_be_prepared_fails_alone() -> None:
    def prepare(raw: int) -> int:
        if raw == 2:
            raise ImageError("image bytes", "it is not an image")
        return raw

    async def scene() -> None:
        async with batcher(prepare=prepare) as made:
            outcomes = await made.submit([1, 2, 3], deadline=soon())
            assert isinstance(outcomes[1], ImageError)
            assert [value(outcomes[0]), value(outcomes[2])] == [-1, -3]

    asyncio.run(scene())


def test_a_preparation_that_hangs_is_left_and_counted_until_it_ends() -> None:
    hanging = threading.Event()

    def prepare(raw: int) -> int:
        if raw == 2:
            hanging.wait(5)
        return raw

    async def scene() -> None:
        async with batcher(prepare=prepare, prepare_timeout=0.05, queue=2, threads=2) as made:
            (outcome,) = await made.submit([2], deadline=soon())
            assert isinstance(outcome, PreparationTimeoutError)
            assert made.depth == 1
            with pytest.raises(QueueFullError):
                await made.submit([1, 3], deadline=soon())
            assert value((await made.submit([1], deadline=soon()))[0]) == -1
            hanging.set()
            await asyncio.sleep(0.05)
            assert made.depth == 0

    asyncio.run(scene())


def test_waiting_for_a_thread_is_not_decoding() -> None:
    def prepare(raw: int) -> int:
        time.sleep(0.08)
        return raw

    async def scene() -> None:
        async with batcher(prepare=prepare, prepare_timeout=0.15) as made:
            outcomes = await made.submit([1, 2, 3, 4], deadline=soon())
            assert [value(outcome) for outcome in outcomes] == [-1, -2, -3, -4]

    asyncio.run(scene())


def test_closing_finishes_what_was_admitted_and_takes_no_more() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=2) as made:
            running = asyncio.create_task(made.submit([1, 2, 3], deadline=soon()))
            await gate.is_entered()
            closing = asyncio.create_task(made.close(drain=5))
            await asyncio.sleep(0)
            with pytest.raises(ClosedError):
                await made.submit([4], deadline=soon())
            gate.opened.set()
            assert [value(outcome) for outcome in await running] == [-1, -2, -3]
            await closing

    asyncio.run(scene())


def test_closing_fails_what_does_not_end_in_time() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=1) as made:
            running = asyncio.create_task(made.submit([1, 2], deadline=soon()))
            await gate.is_entered()
            started = time.monotonic()
            await made.close(drain=0.1)
            assert time.monotonic() - started < 1
            gate.opened.set()
            outcomes = await running
            assert value(outcomes[0]) == -1
            assert isinstance(outcomes[1], ClosedError)

    asyncio.run(scene())


def test_as_many_batches_run_at_once_as_there_are_threads() -> None:
    async def scene() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=1, threads=2) as made:
            running = asyncio.create_task(made.submit([1, 2, 3], deadline=soon()))
            await gate.is_entered()
            await asyncio.sleep(0.05)
            assert sorted(map(tuple, gate.batches)) == [(1,), (2,)]
            gate.opened.set()
            assert [value(outcome) for outcome in await running] == [-1, -2, -3]

    asyncio.run(scene())


def test_a_model_that_gives_too_few_results_is_an_error() -> None:
    async def scene() -> None:
        async with batcher(lambda _: []) as made:
            outcomes = await made.submit([1, 2], deadline=soon())
            assert all(isinstance(outcome, ModelError) for outcome in outcomes)

    asyncio.run(scene())


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"queue": 0}, {"max_delay": -1}, {"prepare_timeout": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        BatchSettings(**wrong)


def test_an_overload_that_answers_nobody_ends_by_itself() -> None:
    """Where all come too late there is no answer to learn from, and the model would be taken for as fast as it was at first."""

    def slow(raw: int) -> int:
        time.sleep(0.1)
        return raw

    async def scene() -> None:
        async with batcher(prepare=slow, queue=32, max_wait=1.0) as made:
            for _ in range(2):
                found = await made.submit([1, 2], deadline=soon(0.05))
                assert {type(each) for each in found} == {DeadlineError}
                while made.depth:
                    await asyncio.sleep(0.01)
            waiting = asyncio.create_task(made.submit([1], deadline=soon()))
            await asyncio.sleep(0)
            made.check_room(1)
            with pytest.raises(QueueFullError, match="an answer would take about"):
                made.check_room(20)
            value((await waiting)[0])

    asyncio.run(scene())


def test_a_model_is_as_fast_as_its_threads_work_whoever_waits() -> None:
    def slow(items: Sequence[int]) -> list[int]:
        time.sleep(0.1 * len(items))
        return negated(items)

    async def scene() -> None:
        async with batcher(slow, queue=16, max_wait=0.5, max_batch=1) as made:
            found = await made.submit([1, 2], deadline=soon(0.05))  # the first is run all the same
            assert {type(each) for each in found} == {DeadlineError}
            waiting = asyncio.create_task(made.submit([1, 2, 3], deadline=soon()))
            await asyncio.sleep(0.1)
            with pytest.raises(QueueFullError):
                made.check_room(8)
            value((await waiting)[0])

    asyncio.run(scene())


def test_a_decode_that_hangs_does_not_shut_the_others_out() -> None:
    """However long it took, and though it counts as being there, an image that nobody else waits before is tried."""
    hung = threading.Event()

    def prepare(raw: int) -> int:
        if raw < 0:
            assert hung.wait(20)
        return raw

    async def scene() -> None:
        async with batcher(prepare=prepare, queue=16, max_wait=0.2, prepare_timeout=0.3, threads=2) as made:
            for _ in range(2):
                (found,) = await made.submit([-1], deadline=soon())
                assert isinstance(found, PreparationTimeoutError)
                hung.set()
                while made.depth:
                    await asyncio.sleep(0.01)
                hung.clear()
            await made.submit([-1], deadline=soon())
            assert made.depth == 1
            made._busy_an_item = 5.0
            for raw in range(5):
                assert value((await made.submit([raw], deadline=soon()))[0]) == -raw
            hung.set()

    asyncio.run(scene())
