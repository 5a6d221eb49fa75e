"""What a stream did, in memory that does not grow: counts, and percentiles from a histogram."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

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
    dropped: those that a newer one replaced. damaged: packets and pictures that could not be decoded. reconnects: how often the
    source was lost and came back. seconds: from the start to the end. fps: answers a second between the first and the last one.
    latency and inference: milliseconds (median and 95th percentile), None without answers. ended_by: `end` of the source, `stop`
    (Ctrl-C), or `time`. unpublished: answered frames that did not reach the server they were for.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Tally:
    """Counts answers as they come; `fps` is measured between the first and the last."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.latency = Durations()
        self.inference = Durations()
        self._first = self._last = 0.0

    def add(self, now: float, latency: float, inference: float, *, failed: bool) -> None:
        """Count one answer. All in seconds."""
        self._first = now if self.answered == 0 else self._first
        self._last = now
        self.answered += 1
        self.failed += failed
        self.latency.add(latency)
        if not failed:
            self.inference.add(inference)

    @property
    def fps(self) -> float:
        """Answers a second, 0 with fewer than two."""
        span = self._last - self._first
        return (self.answered - 1) / span if span > 0 else 0.0


def milliseconds(durations: Durations, percent: float) -> float | None:
    """A percentile in milliseconds, to the microsecond."""
    seconds = durations.percentile(percent)
    return None if seconds is None else round(1e3 * seconds, 3)
