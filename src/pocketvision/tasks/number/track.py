"""A number smoothed over a stream's frames."""

from collections import deque
from dataclasses import replace

import numpy as np

from pocketvision.errors import unknown_name
from pocketvision.tasks.number.answer import Interval, Number
from pocketvision.tasks.task import Smoothing

KINDS = ("majority", "ema")
REMEMBERED_AT_MOST = 4096


class MeanNumber:
    """A stream's Tracker. `majority`: the mean over the last seconds' answers; `ema`: their moving average, by time. The interval
    stays as wide as a single answer's: frames of one scene err together."""

    def __init__(self, smoothing: Smoothing) -> None:
        """Raises UsageError for an unknown kind of smoothing."""
        if smoothing.kind not in KINDS:
            raise unknown_name("smoothing", smoothing.kind, KINDS)
        self._smoothing = smoothing
        self._values: deque[tuple[float, float]] = deque(maxlen=REMEMBERED_AT_MOST)
        self._average: float | None = None
        self._time = 0.0

    def __call__(self, time: float, answer: Number) -> Number:
        """The smoothed number at `time`."""
        value = self._mean(time, answer.value) if self._smoothing.kind == "majority" else self._ema(time, answer.value)
        found, moved = answer.interval, value - answer.value
        interval = None if found is None else Interval(found.low + moved, found.high + moved, found.coverage)
        return replace(answer, value=value, interval=interval)

    def _mean(self, time: float, value: float) -> float:
        self._values.append((time, value))
        while self._values[0][0] < time - self._smoothing.seconds:
            self._values.popleft()
        return float(np.mean([each for _, each in self._values]))

    def _ema(self, time: float, value: float) -> float:
        seconds = self._smoothing.seconds
        weight = 1.0 if self._average is None or seconds <= 0 else -float(np.expm1(-(time - self._time) / seconds))
        before = value if self._average is None else self._average
        self._average, self._time = before + weight * (value - before), time
        return self._average
