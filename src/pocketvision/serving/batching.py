"""Dynamic batching: requests that come one by one are prepared side by side and run together, never more than fit a queue."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pocketvision.errors import PocketVisionError, UsageError

Raw = TypeVar("Raw")
Item = TypeVar("Item")
Result = TypeVar("Result")

LONGEST_RETRY = 60  # seconds: what a rejected client is told to wait at most


class QueueFullError(PocketVisionError):
    """No room for the images of a request, or none in time. retry_after: whole seconds after which there probably is some."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(f"{reason}; try again later")
        self.retry_after = retry_after


class DeadlineError(PocketVisionError):
    """An answer that did not come within the time its request had."""


class PreparationTimeoutError(PocketVisionError):
    """An image that took too long to decode."""


class ClosedError(PocketVisionError):
    """The batcher is shutting down."""


class ModelError(PocketVisionError):
    """The model failed on an image. Its own error is the cause."""


@dataclass(frozen=True)
class BatchSettings:
    """max_batch: items a run at most. max_delay: seconds that the oldest item waits for others; 0 takes what is there.
    queue: items in work or waiting at most, of all requests together. max_wait: seconds that an answer may be expected to take,
    None without a limit; what would take longer is refused. prepare_timeout: seconds that preparing one may take. runners:
    batches that run at once, each in a thread."""

    max_batch: int = 4
    max_delay: float = 0.0
    queue: int = 64
    max_wait: float | None = None
    prepare_timeout: float = 5.0
    runners: int = 1

    def __post_init__(self) -> None:
        if min(self.max_batch, self.queue, self.runners) < 1:
            raise UsageError(
                f"max_batch is {self.max_batch}, queue {self.queue} and runners {self.runners}; expected at least 1 of each"
            )
        if not 0 <= self.max_delay < math.inf or not self.prepare_timeout > 0:
            raise UsageError(
                f"max_delay is {self.max_delay} s and prepare_timeout {self.prepare_timeout} s; expected 0 or more, and above 0"
            )
        if self.max_wait is not None and not self.max_wait > 0:
            raise UsageError(f"max_wait is {self.max_wait} s; expected more than 0")


@dataclass(frozen=True)
class Timing:
    """Seconds that preparing took (with the wait for a thread), that the item then waited, and that its run took with `batch`
    items; and when that was finished, by `time.monotonic`."""

    prepare: float
    wait: float
    run: float
    batch: int
    finished: float


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """A result and how long its parts took."""

    value: Result
    timing: Timing


@dataclass(eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    answer: "asyncio.Future[tuple[Result, float, float, int]]"
    since: float


class _Preparation(Generic[Raw, Item]):
    """One call of `prepare` in the pool, which tells when it began."""

    def __init__(self, prepare: Callable[[Raw], Item], raw: Raw) -> None:
        self._prepare = prepare
        self._raw = raw
        self.began: float | None = None

    def __call__(self) -> Item:
        self.began = time.monotonic()
        return self._prepare(self._raw)


class Batcher(Generic[Raw, Item, Result]):
    """Prepares items in a thread pool and runs those that are ready together, in the order they became ready.

    All methods belong to one event loop. Times are those of `time.monotonic`, so a changed clock changes nothing.
    """

    def __init__(
        self,
        prepare: Callable[[Raw], Item],
        run: Callable[[Sequence[Item]], Sequence[Result]],
        settings: BatchSettings,
        pool: ThreadPoolExecutor,
        *,
        on_batch: Callable[[int, float], None] | None = None,
        on_lingering: Callable[[int], None] | None = None,
    ) -> None:
        """prepare: called in `pool`, which several batchers may share and the caller shuts down. run: called in `runners` threads
        of the batcher's own with 1 to max_batch items; one result for each. on_batch: called with each run's size and seconds.
        on_lingering: called with 1 when a preparation runs on though nobody waits for it, and with -1 when it ends."""
        self._prepare = prepare
        self._run = run
        self._settings = settings
        self._pool = pool
        self._runner = ThreadPoolExecutor(settings.runners, thread_name_prefix="inference")
        self._on_batch = on_batch
        self._on_lingering = on_lingering
        self._waiting: OrderedDict[_Waiting[Item, Result], None] = OrderedDict()
        self._workers: set[asyncio.Task[None]] = set()
        self._admitted = 0
        # Preparations that still run though nobody waits for them: a thread can not be stopped.
        self._lingering: set[_Preparation[Raw, Item]] = set()
        self._full = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._seconds_an_item = 0.01

    @property
    def depth(self) -> int:
        """Items in work or waiting."""
        return self._admitted + len(self._lingering)

    def stuck(self) -> list[float]:
        """For each preparation that has not ended within its time: the seconds since then. Its thread can do nothing else."""
        late = time.monotonic() - self._settings.prepare_timeout
        return [late - each.began for each in self._lingering if each.began is not None and each.began <= late]

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def check_room(self, count: int) -> None:
        """Raise QueueFullError, ClosedError, or UsageError when `count` items would never fit. Admits nothing."""
        if self._closing:
            raise ClosedError("the model is being shut down")
        if count > self._settings.queue:
            raise UsageError(f"{count} images at once are more than the queue holds, {self._settings.queue}")
        retry_after = min(max(math.ceil(self._expected(self.depth)), 1), LONGEST_RETRY)
        if self.depth + count > self._settings.queue:
            raise QueueFullError(
                f"{self.depth} images are in work or waiting, and at most {self._settings.queue} may be", retry_after
            )
        most, expected = self._settings.max_wait, self._expected(self.depth + count)
        # Nobody waits for what an idle model would do: it is tried, and what is known of its speed mends itself.
        if most is not None and self.depth > 0 and expected > most:
            raise QueueFullError(
                f"an answer would take about {expected:.2g} s, and at most {most:g} are allowed", retry_after
            )

    async def submit(self, raws: Sequence[Raw], *, deadline: float) -> list[Answer[Result] | Exception]:
        """One answer or error for each item, in order; all are admitted at once or none.

        deadline: a time of `time.monotonic`. Errors in the list: what `prepare` raised, PreparationTimeoutError, DeadlineError,
        ModelError, ClosedError. Raises what `check_room` does, before anything is awaited. Cancelling it takes its items out.
        """
        self.check_room(len(raws))
        self._admitted += len(raws)
        self._idle.clear()
        depth = self.depth
        try:
            if len(raws) == 1:
                return [await self._outcome(raws[0], deadline, depth)]
            return list(await asyncio.gather(*(self._outcome(raw, deadline, depth) for raw in raws)))
        finally:
            self._admitted -= len(raws)
            if self._admitted == 0:
                self._idle.set()

    async def close(self, *, drain: float) -> None:
        """Take no more, finish what was admitted within `drain` seconds, and fail the rest with ClosedError."""
        self._closing = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), drain)
        for waiting in self._waiting:
            if not waiting.answer.done():
                waiting.answer.set_exception(ClosedError("the model was shut down before it could answer"))
        self._waiting.clear()
        self._runner.shutdown(wait=False, cancel_futures=True)

    def _expected(self, depth: int) -> float:
        """Seconds to the answer of an item that makes it `depth` items in work or waiting."""
        return self._seconds_an_item * max(depth / self._settings.runners, 1)

    async def _outcome(self, raw: Raw, deadline: float, depth: int) -> Answer[Result] | Exception:
        started = time.monotonic()
        try:
            answer = await self._answer(raw, deadline)
            seconds = (time.monotonic() - started) / max(depth / self._settings.runners, 1)
            self._seconds_an_item += 0.1 * (seconds - self._seconds_an_item)
            return answer
        except Exception as error:  # whatever it is, it belongs to this item alone
            return error

    async def _answer(self, raw: Raw, deadline: float) -> Answer[Result]:
        started = time.monotonic()
        item = await self._prepared(raw, deadline)
        ready = time.monotonic()
        waiting: _Waiting[Item, Result] = _Waiting(item, asyncio.get_running_loop().create_future(), ready)
        self._enqueue(waiting)
        try:
            async with asyncio.timeout(max(deadline - ready, 0)):
                value, began, seconds, batch = await waiting.answer
        except TimeoutError:
            raise DeadlineError("the model did not answer in time") from None
        finally:
            self._waiting.pop(waiting, None)
        return Answer(value, Timing(ready - started, began - ready, seconds, batch, began + seconds))

    async def _prepared(self, raw: Raw, deadline: float) -> Item:
        """The item, prepared in the pool. Not started any more once nobody waits for it."""
        preparation = _Preparation(self._prepare, raw)
        future = self._pool.submit(preparation)
        ended = _ended(future)
        try:
            while True:
                now = time.monotonic()
                began = now if preparation.began is None else preparation.began
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(min(deadline, began + self._settings.prepare_timeout) - now, 0)):
                        await ended.wait()
                if future.cancelled():
                    raise ClosedError("the server is being shut down")
                if future.done():
                    return future.result()
                now = time.monotonic()
                if preparation.began is not None and now - preparation.began >= self._settings.prepare_timeout:
                    raise PreparationTimeoutError(f"decoding took more than {self._settings.prepare_timeout:g} s")
                if now >= deadline:
                    raise DeadlineError("the image was not decoded in time")
        finally:
            if not future.done():
                self._leave_behind(preparation, future)

    def _leave_behind(self, preparation: _Preparation[Raw, Item], future: "Future[Item]") -> None:
        """Count a preparation that can not be stopped until it ends by itself, so that memory stays bounded."""
        if future.cancel() or future.done():
            return
        self._lingering.add(preparation)
        if self._on_lingering is not None:
            self._on_lingering(1)
        loop = asyncio.get_running_loop()

        def ended(_: "Future[Item]") -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody counts any more
                loop.call_soon_threadsafe(self._forget, preparation)

        future.add_done_callback(ended)

    def _forget(self, preparation: _Preparation[Raw, Item]) -> None:
        self._lingering.discard(preparation)
        if self._on_lingering is not None:
            self._on_lingering(-1)

    def _enqueue(self, waiting: _Waiting[Item, Result]) -> None:
        self._waiting[waiting] = None
        if len(self._waiting) >= self._settings.max_batch:
            self._full.set()
        if len(self._workers) < self._settings.runners:
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        """Run batches until nothing waits."""
        while self._waiting:
            await self._until_due()
            batch = [
                self._waiting.popitem(last=False)[0] for _ in range(min(len(self._waiting), self._settings.max_batch))
            ]
            if len(self._waiting) < self._settings.max_batch:
                self._full.clear()
            if batch:
                await self._run_batch(batch)
        # At once rather than when its callback is run: what is queued in between would find it and not be seen by it.
        if (this := asyncio.current_task()) is not None:
            self._workers.discard(this)

    async def _until_due(self) -> None:
        """Return when a batch is full or its oldest item has waited long enough."""
        if self._settings.max_delay == 0 or self._closing:
            return
        left = next(iter(self._waiting)).since + self._settings.max_delay - time.monotonic()
        if left > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), left)

    async def _run_batch(self, batch: list[_Waiting[Item, Result]]) -> None:
        items = [waiting.item for waiting in batch]
        began = time.monotonic()
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._runner, self._outcomes, items)
        except (asyncio.CancelledError, RuntimeError):  # the thread was shut down meanwhile
            outcomes = [ClosedError("the model was shut down before it could answer") for _ in batch]
        seconds = time.monotonic() - began
        if self._on_batch is not None:
            self._on_batch(len(batch), seconds)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():  # its request has gone
                continue
            if isinstance(outcome, PocketVisionError):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result((outcome, began, seconds, len(batch)))

    def _outcomes(self, items: Sequence[Item]) -> "Sequence[Result | PocketVisionError]":
        """In the inference thread: results. Where a batch fails, its items are run one by one: the others are not to blame."""
        try:
            results = self._run(items)
            if len(results) != len(items):
                raise ValueError(f"the model gave {len(results)} results for {len(items)} images")
            return results
        except Exception as error:
            if len(items) > 1:
                return [self._outcomes([item])[0] for item in items]
            failure = ModelError(f"the model failed on the image ({type(error).__name__})")
            failure.__cause__ = error
            return [failure]


def _ended(future: "Future[Any]") -> asyncio.Event:
    """Set when a thread's work is done. asyncio's own bridge, a second future, takes two turns of the loop more."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: "Future[Any]") -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(tell)
    return ended
