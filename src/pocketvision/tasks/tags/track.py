"""Tags smoothed over a stream's frames, each by itself."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import unknown_name
from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.task import Smoothing

KINDS = ("majority", "ema")
REMEMBERED_AT_MOST = 4096


class HeldTags:
    """A stream's Tracker. `majority`: the share of the last seconds' answers that have the tag, from a half on; `ema`: the moving
    average of its probability (by time, not by frames), from its threshold on. A shown tag goes half the hysteresis below that,
    and another one comes half of it above."""

    def __init__(self, smoothing: Smoothing) -> None:
        """Raises UsageError for an unknown kind of smoothing."""
        if smoothing.kind not in KINDS:
            raise unknown_name("smoothing", smoothing.kind, KINDS)
        self._smoothing = smoothing
        self._votes: deque[tuple[float, NDArray[np.bool_]]] = deque(maxlen=REMEMBERED_AT_MOST)
        self._average: NDArray[np.float64] | None = None
        self._time = 0.0
        self._shown: NDArray[np.bool_] | None = None

    def __call__(self, time: float, answer: Tags) -> Tags:
        """All tags with their smoothed scores, and the thresholds that hold for them now."""
        majority = self._smoothing.kind == "majority"
        scores = self._share(time, answer) if majority else self._mean(time, answer)
        borders = np.full(len(scores), 0.5) if majority else answer.thresholds.astype(np.float64)
        if self._shown is not None:
            half = self._smoothing.hysteresis / 2
            # Never so high that no score reaches it.
            borders = np.where(
                self._shown, np.maximum(borders - half, 0), np.minimum(borders + half, (borders + 1) / 2)
            )
        self._shown = scores >= borders
        return Tags(answer.labels, scores, borders)

    def _share(self, time: float, answer: Tags) -> NDArray[np.float64]:
        self._votes.append((time, answer.probabilities >= answer.thresholds))
        while self._votes[0][0] < time - self._smoothing.seconds:
            self._votes.popleft()
        shares: NDArray[np.float64] = np.mean([votes for _, votes in self._votes], axis=0, dtype=np.float64)
        return shares

    def _mean(self, time: float, answer: Tags) -> NDArray[np.float64]:
        values, seconds = answer.probabilities.astype(np.float64), self._smoothing.seconds
        if self._average is None:
            self._average = values
        weight = 1.0 if seconds <= 0 else -np.expm1(-(time - self._time) / seconds)
        self._average = self._average + weight * (values - self._average)
        self._time = time
        return self._average
