"""Answers smoothed over time, so that a shown label does not flicker: scores by majority or by a moving average, and a margin."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import unknown_name
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.task import Smoothing

Scores = NDArray[np.float64]
"""(classes,), each in [0, 1], summing to 1."""

VOTES_AT_MOST = 4096
"""Answers that a majority remembers, however long its time is."""


class Smoother(Protocol):
    """Turns one answer after another into scores."""

    def __call__(self, time: float, probabilities: NDArray[np.floating]) -> Scores:
        """Scores at `time` (seconds, never going back) from probabilities (classes,) and those before them."""
        ...


class Majority:
    """Shares of the votes of the last `seconds`: every answer is one vote for its most probable class."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._votes: deque[tuple[float, int]] = deque(maxlen=VOTES_AT_MOST)

    def __call__(self, time: float, probabilities: NDArray[np.floating]) -> Scores:
        """The share of each class, this answer's vote included."""
        self._votes.append((time, int(probabilities.argmax())))
        while self._votes[0][0] < time - self._seconds:
            self._votes.popleft()
        counts = np.bincount([vote for _, vote in self._votes], minlength=len(probabilities))
        scores: Scores = counts / len(self._votes)
        return scores


class MovingAverage:
    """The exponential moving average of the probabilities, with a time constant of `seconds`.

    By time and not by frames: what is seen for a second counts the same at 5 and at 60 answers a second.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._time = 0.0
        self._average: Scores | None = None

    def __call__(self, time: float, probabilities: NDArray[np.floating]) -> Scores:
        """The average up to and with this answer; the first one is its own average."""
        values = probabilities.astype(np.float64)
        values = values / values.sum()
        if self._average is None:
            self._average = values
        else:
            weight = 1.0 if self._seconds <= 0 else -np.expm1(-(time - self._time) / self._seconds)
            self._average = self._average + weight * (values - self._average)
        self._time = time
        return self._average.copy()


class Hysteresis:
    """Hysteresis: a class stays until another one's score is more than `margin` above its own."""

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._held: int | None = None

    def __call__(self, scores: Scores) -> int:
        """The index of the class that is held now; the most probable one at first."""
        best = int(scores.argmax())
        if self._held is None or scores[best] > scores[self._held] + self._margin:
            self._held = best
        return self._held


SMOOTHERS: dict[str, Callable[[float], Smoother]] = {"majority": Majority, "ema": MovingAverage}
"""From an option's value to what smooths over so many seconds."""


def smoother(name: str, seconds: float) -> Smoother:
    """A row of SMOOTHERS, opened. Raises UsageError for an unknown name."""
    if name not in SMOOTHERS:
        raise unknown_name("smoothing", name, SMOOTHERS)
    return SMOOTHERS[name](seconds)


class HeldLabel:
    """A stream's Tracker: the class that holds against the others, by the bundle's thresholds, with its smoothed score for a
    probability. It is unsure as the moving average is, or as most of its votes are."""

    def __init__(self, smoothing: Smoothing) -> None:
        """Raises UsageError for an unknown kind of smoothing."""
        self._smooth = smoother(smoothing.kind, smoothing.seconds)
        self._hold = Hysteresis(smoothing.hysteresis)

    def __call__(self, time: float, answer: Classification) -> Classification:
        """The class shown at `time`, alone."""
        voting = isinstance(self._smooth, Majority)
        shown, held, unsure = (self._voted if voting else self._averaged)(time, answer)
        none = answer.none_of_these  # of this very frame: an average of what is none of the classes says nothing
        doubt = None if answer.decision.is_plain else unsure or bool(none)
        return Classification((answer.labels[held],), shown[held : held + 1], unsure=doubt, told_none=none)

    def _averaged(self, time: float, answer: Classification) -> tuple[Scores, int, bool]:
        average = self._smooth(time, answer.probabilities)
        scores = answer.decision.scores(average[None])[0]
        held = self._hold(scores)
        return average, held, bool(answer.decision.unsure(scores[held : held + 1], average[None])[0])

    def _voted(self, time: float, answer: Classification) -> tuple[Scores, int, bool]:
        """Sure and unsure votes for a class are counted apart, and together for which class it is."""
        scores = answer.decision.scores(answer.probabilities[None])[0]
        unsure = bool(answer.decision.unsure(scores.max(keepdims=True), answer.probabilities[None])[0])
        ballot = np.stack([scores * (not unsure), scores * unsure])
        sure, doubtful = self._smooth(time, ballot.ravel()).reshape(2, -1)
        held = self._hold(sure + doubtful)
        return sure + doubtful, held, bool(doubtful[held] > sure[held])
