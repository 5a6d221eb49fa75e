"""The reader's thread: pictures become frames, a broken source is opened again with back-off, a file keeps its pace."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pocketvision.errors import SourceError
from pocketvision.streaming.bounded_queue import BoundedQueue
from pocketvision.streaming.frame import Frame, SourceEvents, SourceFrame

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before a broken source is opened again; each time twice as long, until a picture has come."""

TRIES = 3
"""Openings of a source that has never given a picture."""

ReadSource = Callable[[SourceEvents], Iterator[SourceFrame]]
"""Opens a source and gives its pictures."""


@dataclass
class ReaderCounts:
    """Written by the reader alone, read by anybody. last: when the newest picture came, in seconds of time.monotonic."""

    read: int = 0
    skipped: int = 0
    damaged: int = 0
    reconnects: int = 0
    last: float | None = None

    def count_damaged(self) -> None:
        """One packet or picture that could not be decoded."""
        self.damaged += 1


@dataclass(frozen=True)
class BackOff:
    """Whether and how a broken source is opened again. Delays in seconds: the first and the longest."""

    enabled: bool
    first_delay: float = FIRST_DELAY
    longest_delay: float = LONGEST_DELAY

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        return min(self.first_delay * 2.0 ** min(failures - 1, 16), self.longest_delay)


@dataclass(frozen=True)
class Pace:
    """Which frames are handed on, and when.

    paced: they are held back until their position, as if they came from a camera. every: seconds between two of them, the others
    are skipped; None for all. by_arrival: seconds are those of arrival; otherwise of positions.
    """

    paced: bool = False
    every: float | None = None
    by_arrival: bool = False


class _Sampling:
    """Tells which frames are due, one a period, from the first on."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._next: float | None = None

    def due(self, position: float | None, now: float) -> bool:
        every = self._pace.every
        if every is None:
            return True
        clock = now if self._pace.by_arrival or position is None else position
        if self._next is None:
            self._next = clock
        if clock < self._next - 1e-6:
            return False
        self._next = max(self._next + every, clock - every)  # no burst after a long silence
        while self._next <= clock:
            self._next += every
        return True


def read_frames(
    read: ReadSource,
    queue: BoundedQueue[Frame],
    counts: ReaderCounts,
    stop: threading.Event,
    *,
    events: SourceEvents,
    back_off: BackOff,
    pace: Pace,
) -> None:
    """Fill `queue` until the source ends, fails (the queue is closed with the error) or `stop` is set."""
    started: float | None = None
    sampling = _Sampling(pace)
    try:
        for picture in _pictures(read, counts, stop, events, back_off):
            if started is None:
                started = time.monotonic() - (picture.position or 0.0)
            if pace.paced and picture.position is not None:
                stop.wait(max(0.0, started + picture.position - time.monotonic()))
            if stop.is_set():
                break
            now = time.monotonic()
            frame = Frame(picture, index=counts.read, captured=now, time=time.time())
            counts.read, counts.last = counts.read + 1, now
            if not sampling.due(picture.position, now):
                counts.skipped += 1
            elif not queue.put(frame):
                break
    except (
        BaseException
    ) as error:  # whatever it is, the thread that gets frames has to hear of it, or it would wait for ever
        queue.close(error)
    else:
        queue.close()


def _pictures(
    read: ReadSource, counts: ReaderCounts, stop: threading.Event, events: SourceEvents, back_off: BackOff
) -> Iterator[SourceFrame]:
    """The pictures of as many connections as it takes."""
    opened, failures, started = False, 0, time.monotonic()
    while not stop.is_set():
        try:
            for picture in read(events):
                counts.reconnects += opened and failures > 0
                opened, failures = True, 0
                yield picture
            return
        except SourceError as error:
            failures += 1
            if not back_off.enabled:
                raise
            if not opened and failures >= TRIES:
                seconds = time.monotonic() - started
                raise SourceError(
                    f"{error}. Tried {failures} times in {seconds:.1f} s, and no picture came."
                ) from error
            if failures == 1:
                events.note(f"{error}; it is opened again, until pictures come" if opened else f"{error}; tried again")
        stop.wait(back_off.delay(failures))
