"""Coverage against threshold: how many images are answered when unsure answers are withheld, and how many of those are right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.statistics import Interval, wilson
from pocketvision.tasks.classification.decision import Decision
from pocketvision.tasks.classification.record import ClassAnswers
from pocketvision.tasks.manifest import TaskManifest

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Coverage:
    """What becomes of n images when only answers with a probability of at least `threshold` are given.

    answered, right: images. coverage: answered / n. accuracy: right / answered, with its 95 % interval; None when none
    is answered.
    """

    threshold: float
    answered: int
    right: int
    coverage: float
    accuracy: float | None
    interval: Interval | None

    @property
    def text(self) -> str:
        """As in "sure of 95.0% (threshold 0.6), and right in 97.1% (95 %: 90.2% to 99.2%) of those"."""
        if self.accuracy is None or self.interval is None:
            return f"sure of none (threshold {self.threshold:g})"
        bounds = f"{self.interval.low:.1%} to {self.interval.high:.1%}"
        sure = f"sure of {self.coverage:.1%} (threshold {self.threshold:g})"
        return f"{sure}, and right in {self.accuracy:.1%} (95 %: {bounds}) of those"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        columns = ("threshold", "answered", "right", "coverage", "accuracy")
        return {column: getattr(self, column) for column in columns}


def coverage(
    scores: NDArray[np.floating], labels: NDArray[np.integer], thresholds: Sequence[float] = THRESHOLDS
) -> tuple[Coverage, ...]:
    """One row a threshold. scores: (n, classes), n >= 1, the answer being the highest: probabilities, or what thresholds of the
    classes make of them (Decision.scores). labels: (n,). thresholds: in [0, 1]."""
    confidence = scores.max(axis=1)
    hit = scores.argmax(axis=1) == labels
    return tuple(_row(threshold, hit, confidence >= threshold) for threshold in thresholds)


def abstained(answers: ClassAnswers, task: TaskManifest) -> Coverage | None:
    """What becomes of answers when the unsure ones are withheld; None where the bundle is never unsure."""
    below = Decision.of(task).abstain_below
    if below is None or answers.unsure is None:
        return None
    return _row(below, answers.answers == answers.labels, ~answers.unsure)


def _row(threshold: float, hit: NDArray[np.bool_], given: NDArray[np.bool_]) -> Coverage:
    answered, right = int(given.sum()), int(hit[given].sum())
    return Coverage(
        threshold=threshold,
        answered=answered,
        right=right,
        coverage=answered / len(hit),
        accuracy=right / answered if answered else None,
        interval=wilson(right, answered),
    )
