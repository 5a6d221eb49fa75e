"""The threads that prepare items and run them together.

Each thread does both, one after the other: as a rule what it has prepared is still in its core's cache when it runs it, and no
time goes into handing it to another. Items are prepared beside the runs of the other threads. The event loop is called once a
batch.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pocketvision.errors import PocketVisionError
from pocketvision.printable import counted

Raw = TypeVar("Raw")
Item = TypeVar("Item")
Result = TypeVar("Result")


WAITING_PER_ITEM = 3
"""An item of a batch for so many that wait for a thread.

A batch keeps its first for its last, and spares the event loop a turn for each: worth it only where many wait. Measured with
EfficientNet-Lite0 on one core, batches of at most 4, at 65 and 105 requests a second (half and three quarters of what it can do),
medians of 4 rounds: 99th percentiles of 30 and 70 ms so; 52 and 116 ms with all that is there in a batch; 32 and 76 ms with one
at a time, which answers 126 a second at most instead of 138.
"""


class ModelError(PocketVisionError):
    """The model failed on an image. Its own error is the cause."""


@dataclass(eq=False, slots=True)
class Job(Generic[Raw, Item]):
    """An item on its way. Times are those of `time.monotonic`.

    raw: None once it is prepared. outcome: an Answer or an Exception, set in the event loop. began, ready: when its preparation
    began and ended, None before. running, withdrawn: in a batch; wanted no more. What the threads change, they change under their
    lock. timer: the next look at its deadline.
    """

    raw: Raw | None
    deadline: float
    submitted: float
    outcome: "asyncio.Future[Any]"
    began: float | None = None
    ready: float | None = None
    item: Item | None = None
    running: bool = False
    withdrawn: bool = False
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True)
class Batch(Generic[Raw, Item, Result]):
    """Jobs that ran together: one result or ModelError for each, when the run began and the seconds that it took."""

    jobs: list[Job[Raw, Item]]
    outcomes: "Sequence[Result | ModelError]"
    began: float
    seconds: float


class BatchThreads(Generic[Raw, Item, Result]):
    """Threads that work on what was put into their line, first come first served. Safe to use from any thread."""

    def __init__(
        self,
        prepare: Callable[[Raw], Item],
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        max_batch: int,
        max_delay: float,
        threads: int,
        preparing: threading.Semaphore | None,
        on_batch: Callable[[Batch[Raw, Item, Result]], None],
        on_failure: Callable[[Job[Raw, Item], Exception], None],
        on_abandoned: Callable[[Job[Raw, Item]], None],
    ) -> None:
        """max_batch, max_delay: see BatchSettings. preparing: held by a thread while it prepares; None for no such bound. The
        last three are called in the threads: with what came of a run; with a job whose preparation failed; with one that was
        withdrawn while it was prepared, once that has ended."""
        self._preparing = preparing or threading.Semaphore(threads)
        self._max_batch = max_batch
        self._max_delay = max_delay
        self._on_batch = on_batch
        self._on_failure = on_failure
        self._on_abandoned = on_abandoned
        self._waiting: OrderedDict[Job[Raw, Item], None] = OrderedDict()
        self._ready: OrderedDict[Job[Raw, Item], None] = OrderedDict()
        self._changed = threading.Condition()
        self._threads = threads
        self._flushing = self._closed = False
        # Daemons: an image that hangs its decoder must not keep the process. What they call is theirs alone, so that it is free
        # when they end: it holds the model, and this object is in a circle that no collection may look at (gc.freeze).
        for number in range(threads):
            arguments = (prepare, run)
            threading.Thread(target=self._work, args=arguments, name=f"batch_{number}", daemon=True).start()

    def put(self, job: Job[Raw, Item]) -> None:
        """Let a job wait for a thread."""
        with self._changed:
            self._waiting[job] = None
            self._changed.notify()

    def withdraw(self, job: Job[Raw, Item]) -> bool:
        """It is wanted no more: nothing of it is begun any more. Whether it is being prepared, which can not be stopped."""
        with self._changed:
            job.withdrawn = True
            self._waiting.pop(job, None)
            self._ready.pop(job, None)
            return job.began is not None and job.ready is None

    def flush(self) -> None:
        """Run what is ready without waiting for full batches."""
        with self._changed:
            self._flushing = True
            self._changed.notify_all()

    def close(self) -> None:
        """Begin nothing more, and end the threads once they have done what they have begun."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._ready.clear()
            self._changed.notify_all()

    def _work(self, prepare: Callable[[Raw], Item], run: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        while (step := self._next()) is not None:
            if isinstance(step, Job):
                self._prepare_job(step, prepare)
            else:
                self._run_jobs(step, run)
            del step  # keep no image in memory while the thread waits

    def _run_jobs(self, jobs: list[Job[Raw, Item]], run: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        began = time.monotonic()
        items: list[Any] = [job.item for job in jobs]
        outcomes = _outcomes(items, run)
        self._on_batch(Batch(jobs, outcomes, began, time.monotonic() - began))

    def _next(self) -> Job[Raw, Item] | list[Job[Raw, Item]] | None:
        """What to do next, as soon as there is something: a job to prepare, or jobs to run together; None at the end."""
        with self._changed:
            while not self._closed:
                wanted, left = self._batch_size(), self._time_left()
                due = self._max_delay > 0 and left == 0
                if self._waiting and len(self._ready) < wanted and not due and (not self._ready or self._may_prepare()):
                    return self._waiting.popitem(last=False)[0]
                if self._ready and (len(self._ready) >= wanted or left == 0):
                    size = min(len(self._ready), wanted)
                    jobs = [self._ready.popitem(last=False)[0] for _ in range(size)]
                    for job in jobs:
                        job.running = True
                    return jobs
                self._changed.wait(left)
            return None

    def _may_prepare(self) -> bool:
        """Whether a preparation could begin now: what is ready is not to wait for others' images."""
        if self._preparing.acquire(blocking=False):
            self._preparing.release()
            return True
        return False

    def _batch_size(self) -> int:
        """How many jobs to run together now."""
        if self._max_delay > 0 and not self._flushing:
            return self._max_batch
        waiting = (len(self._waiting) + len(self._ready)) // self._threads
        return min(max(waiting // WAITING_PER_ITEM, 1), self._max_batch)

    def _time_left(self) -> float | None:
        """Seconds that the oldest prepared job may still wait for others; None where there is none."""
        if not self._ready:
            return None
        if self._max_delay == 0 or self._flushing:
            return 0.0
        oldest = next(iter(self._ready)).ready or 0.0
        return max(oldest + self._max_delay - time.monotonic(), 0.0)

    def _prepare_job(self, job: Job[Raw, Item], prepare: Callable[[Raw], Item]) -> None:
        failure = None
        with self._preparing:
            with self._changed:
                if job.withdrawn or self._closed or job.raw is None:
                    return
                job.began = time.monotonic()
            try:
                job.item = prepare(job.raw)
            except Exception as error:  # whatever it is, it belongs to this item alone
                failure = error
        with self._changed:
            job.ready, job.raw = time.monotonic(), None
            abandoned = job.withdrawn
            if abandoned:
                job.item = None
            elif failure is None and not self._closed:
                self._ready[job] = None
        if abandoned:
            self._on_abandoned(job)
        elif failure is not None:
            self._on_failure(job, failure)
        del failure, job  # an error holds the frames it came through: this one is not to hold it, nor who has it


def _outcomes(
    items: Sequence[Item], run: Callable[[Sequence[Item]], Sequence[Result]]
) -> "Sequence[Result | ModelError]":
    """Results. Where a batch fails, its items are run one by one: the others are not to blame."""
    try:
        results = run(items)
        if len(results) != len(items):
            raise ValueError(f"the model gave {counted(len(results), 'result')} for {counted(len(items), 'image')}")
        return results
    except Exception as error:
        if len(items) > 1:
            return [_outcomes([item], run)[0] for item in items]
        failure = ModelError(f"the model failed on the image ({type(error).__name__})")
        failure.__cause__ = error
        return [failure]
