"""Coverage against threshold: how many images are answered when unsure answers are withheld, and how many of those are right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.statistics import Interval, wilson

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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        columns = ("threshold", "answered", "right", "coverage", "accuracy")
        return {column: getattr(self, column) for column in columns}


def coverage(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], thresholds: Sequence[float] = THRESHOLDS
) -> tuple[Coverage, ...]:
    """One row a threshold. probabilities: (n, classes), n >= 1. labels: (n,). thresholds: in [0, 1]."""
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == labels
    rows: list[Coverage] = []
    for threshold in thresholds:
        given = confidence >= threshold
        answered, right = int(given.sum()), int(hit[given].sum())
        rows.append(
            Coverage(
                threshold=threshold,
                answered=answered,
                right=right,
                coverage=answered / len(labels),
                accuracy=right / answered if answered else None,
                interval=wilson(right, answered),
            )
        )
    return tuple(rows)
