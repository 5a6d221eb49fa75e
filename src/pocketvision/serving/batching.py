"""Dynamic batching: requests that come one by one are prepared side by side and run together, never more than fit a queue.

This is the event loop's side: who is let in, deadlines, what becomes of those who leave. The work is done in batch_threads.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.printable import counted
from pocketvision.serving.batch_threads import Batch, BatchThreads, Item, Job, ModelError, Raw, Result

SMOOTHING = 0.1  # of what is known of the model's speed, from each answer
MAX_RETRY_AFTER = 60  # seconds, of Retry-After


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


@dataclass(frozen=True)
class BatchSettings:
    """max_batch: items a run at most. max_delay: seconds that the oldest prepared item waits for a full batch; 0: it does not.
    queue: items in work or waiting at most, of all requests together. max_wait: seconds that an answer may be expected to take,
    None without a limit; what would take longer is refused. prepare_timeout: seconds that preparing one may take. threads:
    that prepare items and run batches, each on its own."""

    max_batch: int = 4
    max_delay: float = 0.0
    queue: int = 64
    max_wait: float | None = None
    prepare_timeout: float = 5.0
    threads: int = 1

    def __post_init__(self) -> None:
        if min(self.max_batch, self.queue, self.threads) < 1:
            raise UsageError(
                f"max_batch is {self.max_batch}, queue {self.queue} and threads {self.threads}; expected at least 1 of each"
            )
        if not 0 <= self.max_delay < math.inf or not self.prepare_timeout > 0:
            raise UsageError(
                f"max_delay is {self.max_delay} s and prepare_timeout {self.prepare_timeout} s; expected 0 or more, and above 0"
            )
        if self.max_wait is not None and not self.max_wait > 0:
            raise UsageError(f"max_wait is {self.max_wait} s; expected more than 0")


@dataclass(frozen=True)
class Timing:
    """Seconds that an item waited (for a thread, and then for others of its batch), that preparing it took, and that its run took
    with `batch` items; and when it was asked for, its preparation and its run began, by `time.monotonic`."""

    submitted: float
    prepared_from: float
    prepare: float
    run_from: float
    run: float
    batch: int

    @property
    def wait(self) -> float:
        """Seconds in which nothing was done for the item."""
        return self.run_from - self.submitted - self.prepare

    @property
    def finished(self) -> float:
        """When its run ended."""
        return self.run_from + self.run


@dataclass(frozen=True)
class TimedResult(Generic[Result]):
    """A result and how long its parts took."""

    value: Result
    timing: Timing


class Batcher(Generic[Raw, Item, Result]):
    """Prepares items and runs those that are ready together, in the order they became ready.

    All methods belong to one event loop. Times are those of `time.monotonic`, so a changed clock changes nothing.
    """

    def __init__(
        self,
        prepare: Callable[[Raw], Item],
        run: Callable[[Sequence[Item]], Sequence[Result]],
        settings: BatchSettings,
        *,
        preparing: threading.Semaphore | None = None,
        on_batch: Callable[[int, float], None] | None = None,
        on_abandoned: Callable[[int], None] | None = None,
    ) -> None:
        """prepare, run: called in threads of the batcher's own; run with 1 to max_batch items, one result for each. preparing:
        held by a thread while it prepares, where several batchers together are to prepare no more at once than it lets.
        on_batch: called with each run's size and seconds. on_abandoned: called with 1 when a preparation runs on though nobody
        waits for it, and with -1 when it ends."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._on_batch = on_batch
        self._on_abandoned = on_abandoned
        self._threads: BatchThreads[Raw, Item, Result] = BatchThreads(
            prepare,
            run,
            max_batch=settings.max_batch,
            max_delay=settings.max_delay,
            threads=settings.threads,
            preparing=preparing,
            on_batch=lambda batch: self._call(self._deliver, batch),
            on_failure=lambda job, error: self._call(_resolve, job, error),
            on_abandoned=lambda job: self._call(self._end_abandoned, job),
        )
        self._jobs: set[Job[Raw, Item]] = set()
        # Preparations that still run though their request has gone: a thread can not be stopped.
        self._abandoned: set[Job[Raw, Item]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._seconds_an_item = 0.01  # to its answer, for each that was there before it
        self._busy_an_item: float | None = None  # of a thread, for its answer or for none

    @property
    def depth(self) -> int:
        """Items in work or waiting."""
        return len(self._jobs) + len(self._abandoned)

    def stuck(self) -> list[float]:
        """For each preparation that has not ended within its time: the seconds since then. Its thread can do nothing else."""
        late = time.monotonic() - self._settings.prepare_timeout
        return [late - each.began for each in self._abandoned if each.began is not None and each.began <= late]

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
        retry_after = min(max(math.ceil(self._expected(self.depth)), 1), MAX_RETRY_AFTER)
        if self.depth + count > self._settings.queue:
            raise QueueFullError(
                f"{counted(self.depth, 'image')} in work or waiting, and at most {self._settings.queue} may be",
                retry_after,
            )
        most, expected = self._settings.max_wait, self._expected(self.depth + count)
        # Nobody waits for what an idle model would do: it is tried, and what is known of its speed mends itself.
        # A decode that hangs delays no answer.
        if most is not None and self._jobs and expected > most:
            raise QueueFullError(
                f"an answer would take about {expected:.2g} s, and at most {most:g} are allowed", retry_after
            )

    async def submit(self, raws: Sequence[Raw], *, deadline: float) -> list[TimedResult[Result] | Exception]:
        """One answer or error for each item, in order; all are admitted at once or none.

        deadline: a time of `time.monotonic`. Errors in the list: what `prepare` raised, PreparationTimeoutError, DeadlineError,
        ModelError, ClosedError. Raises what `check_room` does, before anything is awaited. Cancelling it takes its items out.
        """
        self.check_room(len(raws))
        self._idle.clear()
        jobs: list[Job[Raw, Item]] = []
        try:
            for raw in raws:
                jobs.append(Job(raw, deadline, time.monotonic(), self._loop.create_future()))
            self._jobs.update(jobs)
            depth = self.depth
            for job in jobs:
                self._start(job)
            outcomes: list[TimedResult[Result] | Exception] = [await job.outcome for job in jobs]
            self._update_estimate(outcomes, jobs, depth)
            return outcomes
        finally:
            for job in jobs:
                self._release(job)
            if not self._jobs:
                self._idle.set()

    async def close(self, *, drain: float) -> None:
        """Take no more, finish what was admitted within `drain` seconds, and fail the rest with ClosedError."""
        self._closing = True
        self._threads.flush()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), drain)
        self._threads.close()
        for job in self._jobs:
            if not job.running:
                _resolve(job, ClosedError("the model was shut down before it could answer"))

    def _expected(self, depth: int) -> float:
        """Seconds to the answer of an item that makes it `depth` items in work or waiting.

        What answers took says it best; but where they all come too late there are none, and what threads take for an item is
        known even then. Without that, an overload that had once begun went on for ever: all was taken, and nothing answered.
        """
        return self._speed() * max(depth / self._settings.threads, 1)

    def _speed(self) -> float:
        return max(self._seconds_an_item, self._busy_an_item or 0.0)

    def _update_estimate(
        self, outcomes: Sequence[TimedResult[Result] | Exception], jobs: Sequence[Job[Raw, Item]], depth: int
    ) -> None:
        """How long an item takes, from answers and from how many there were when they were asked for."""
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, TimedResult):
                seconds = (outcome.timing.finished - job.submitted) / max(depth / self._settings.threads, 1)
                self._seconds_an_item += SMOOTHING * (seconds - self._seconds_an_item)
            elif isinstance(outcome, DeadlineError):
                self._raise_busy_estimate(job)

    def _update_busy_estimate(self, seconds: float) -> None:
        known = self._busy_an_item
        self._busy_an_item = seconds if known is None else known + SMOOTHING * (seconds - known)

    def _raise_busy_estimate(self, job: Job[Raw, Item]) -> None:
        """Preparing took this long, for nothing; running would have come on top."""
        if job.began is not None and job.ready is not None:
            seconds = min(job.ready - job.began, self._settings.prepare_timeout)
            if seconds > self._speed():
                self._update_busy_estimate(seconds)

    def _start(self, job: Job[Raw, Item]) -> None:
        """Let a job wait for a thread, and look after it."""
        left = job.deadline - job.submitted
        if left <= 0:
            _resolve(job, DeadlineError("the image was not decoded in time"))
            return
        # A timer of the loop for each job costs less than `asyncio.timeout` around each wait.
        job.timer = self._loop.call_later(min(left, self._settings.prepare_timeout), self._check_deadline, job)
        self._threads.put(job)

    def _check_deadline(self, job: Job[Raw, Item]) -> None:
        """A time has come that a job should not have reached, unless its preparation had to wait for a thread."""
        if job.outcome.done():
            return
        now, preparing = time.monotonic(), job.began is not None and job.ready is None
        until = job.deadline
        if preparing and job.began is not None:
            until = min(until, job.began + self._settings.prepare_timeout)
        elif job.ready is None:  # when it will begin is not known: look again before it can be late
            until = min(until, now + self._settings.prepare_timeout)
        if now < until:
            job.timer = self._loop.call_later(until - now, self._check_deadline, job)
        elif preparing and until < job.deadline:
            _resolve(job, PreparationTimeoutError(f"decoding took more than {self._settings.prepare_timeout:g} s"))
        else:
            late = "the image was not decoded in time" if job.ready is None else "the model did not answer in time"
            _resolve(job, DeadlineError(late))

    def _deliver(self, batch: Batch[Raw, Item, Result]) -> None:
        size = len(batch.jobs)
        if self._on_batch is not None:
            self._on_batch(size, batch.seconds)
        preparing = [job.ready - job.began for job in batch.jobs if job.began is not None and job.ready is not None]
        self._update_busy_estimate((sum(preparing) + batch.seconds) / size)
        for job, outcome in zip(batch.jobs, batch.outcomes, strict=True):
            if isinstance(outcome, ModelError):
                _resolve(job, outcome)
            elif job.began is not None and job.ready is not None:
                timing = Timing(job.submitted, job.began, job.ready - job.began, batch.began, batch.seconds, size)
                _resolve(job, TimedResult(outcome, timing))

    def _release(self, job: Job[Raw, Item]) -> None:
        """Nobody waits for a job any more: because it has its outcome, or because the client has gone or its time has passed."""
        self._jobs.discard(job)
        if job.timer is not None:
            job.timer.cancel()
        # One that is still prepared is counted until that ends by itself, so that memory stays bounded.
        if not job.running and self._threads.withdraw(job):
            self._abandoned.add(job)
            if self._on_abandoned is not None:
                self._on_abandoned(1)

    def _end_abandoned(self, job: Job[Raw, Item]) -> None:
        if job not in self._abandoned:
            return
        self._raise_busy_estimate(job)
        self._abandoned.discard(job)
        if self._on_abandoned is not None:
            self._on_abandoned(-1)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the event loop, from any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)


def _resolve(job: Job[Any, Any], outcome: Any) -> None:
    """Give a job its outcome, unless its request has gone."""
    if not job.outcome.done():
        job.outcome.set_result(outcome)
