"""What a stream did, in memory that does not grow: counts, and percentiles from a histogram."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketvision.streaming.answers import Answer, Streaming
from pocketvision.streaming.reader import ReaderCounts

_LOWEST, _RATIO, _BINS = 1e-5, 1.01, 2100
# 10 microseconds times 1.01 to the 2100th is over 3 hours.


class Durations:
    """A histogram of seconds whose bins are 1 % wide: percentiles are exact to half a percent."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        place = int(np.log(max(seconds, _LOWEST) / _LOWEST) / np.log(_RATIO))
        self._counts[min(place, _BINS - 1)] += 1

    def percentile(self, percent: float) -> float | None:
        """Seconds that so many percent of the durations do not exceed; None when there were none."""
        total = int(self._counts.sum())
        if total == 0:
            return None
        rank = max(1, int(np.ceil(percent / 100 * total)))
        place = int(np.searchsorted(np.cumsum(self._counts), rank))
        return float(_LOWEST * _RATIO ** (place + 0.5))


@dataclass(frozen=True)
class StreamSummary:
    """What a stream did.

    read: frames that came out of the source. answered: of them, those that got an answer; failed: of these, with an error.
    dropped: those that a newer one replaced. skipped: those between two periods of `every`. damaged: packets and pictures that
    could not be decoded. reconnects: how often the source was lost and came back. seconds: from the start to the end. fps:
    answers a second between the first and the last one. latency and inference: milliseconds (median and 95th percentile), None
    without answers; latency also of sources that wait for the model. speed: of a video file, seconds of video a second, 1 is
    real time. ended_by: `end` of the source, `stop` (Ctrl-C), `time`, or `error`. unpublished: answered frames that did not
    reach the server they were for.
    """

    read: int
    answered: int
    failed: int
    dropped: int
    damaged: int
    reconnects: int
    seconds: float
    fps: float
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    inference_ms_p50: float | None
    inference_ms_p95: float | None
    ended_by: str
    unpublished: int = 0
    skipped: int = 0
    speed: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Tally:
    """Counts answers as they come; `fps` and `speed` are measured between the first and the last.

    positions: whether those of the frames are seconds of a video.
    """

    def __init__(self, *, positions: bool = False) -> None:
        self.answered = 0
        self.failed = 0
        self.latency = Durations()
        self.inference = Durations()
        self._positions = positions
        self._first = self._last = 0.0
        self._start: float | None = None
        self._end: float | None = None

    def add(self, now: float, answer: Answer) -> None:
        """Count one answer that came at `now`, in seconds."""
        self._first = now if self.answered == 0 else self._first
        self._last = now
        if self._positions and answer.frame.picture.position is not None:
            self._end = answer.frame.picture.position
            self._start = self._end if self._start is None else self._start
        self.answered += 1
        self.failed += answer.error is not None
        if answer.latency is not None:
            self.latency.add(answer.latency)
        if answer.error is None:
            self.inference.add(answer.inference)

    @property
    def fps(self) -> float:
        """Answers a second, 0 with fewer than two."""
        span = self._last - self._first
        return (self.answered - 1) / span if span > 0 else 0.0

    @property
    def speed(self) -> float | None:
        """Seconds of video a second; None with fewer than two answers, or without positions."""
        span = self._last - self._first
        return None if self._start is None or self._end is None or span <= 0 else (self._end - self._start) / span


def summarised(
    tally: Tally, running: Streaming | None, seconds: float, ended_by: str, unpublished: int
) -> StreamSummary:
    """A stream's figures once it is over. running: None when it never began."""
    counts = ReaderCounts() if running is None else running.counts
    return StreamSummary(
        read=counts.read,
        answered=tally.answered,
        failed=tally.failed,
        dropped=0 if running is None else running.frames.dropped,
        damaged=counts.damaged,
        reconnects=counts.reconnects,
        seconds=round(seconds, 3),
        fps=round(tally.fps, 2),
        latency_ms_p50=milliseconds(tally.latency, 50),
        latency_ms_p95=milliseconds(tally.latency, 95),
        inference_ms_p50=milliseconds(tally.inference, 50),
        inference_ms_p95=milliseconds(tally.inference, 95),
        ended_by=ended_by,
        unpublished=unpublished,
        skipped=counts.skipped,
        speed=None if tally.speed is None else round(tally.speed, 3),
    )


def milliseconds(durations: Durations, percent: float) -> float | None:
    """A percentile in milliseconds, to the microsecond."""
    seconds = durations.percentile(percent)
    return None if seconds is None else round(1e3 * seconds, 3)
