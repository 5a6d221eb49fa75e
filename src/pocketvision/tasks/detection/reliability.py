"""Whether scores are honest: of the detections with a score of 0.8, are eight in ten right?

D-ECE in its simplest form (Kueppers et al. 2020): bins of scores alone, a detection being right from an IoU of 0.5 on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.matching import IGNORED, RIGHT
from pocketvision.tasks.detection.record import Rows

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Of `count` detections the mean score, and the share that is right, in [0, 1]."""

    count: int
    score: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """bins: those that hold detections, of any score. error: the mean distance of score and share right over the bins of those
    that are shown, at the thresholds that ship, weighed by their number; None where nothing is shown."""

    bins: tuple[Bin, ...]
    error: float | None


def reliability(rows: Rows) -> Reliability:
    """Of detections that count."""
    counted = rows.states[0, 0] != IGNORED
    right = rows.states[0, 0] == RIGHT
    every = _bins(rows.scores[counted], right[counted])
    shown = _bins(rows.scores[counted & rows.said], right[counted & rows.said])
    total = sum(each.count for each in shown)
    error = sum(each.count * abs(each.score - each.right) for each in shown) / total if total else None
    return Reliability(every, error)


def _bins(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights=each, minlength=BINS) for each in (scores, right)]
    return tuple(
        Bin(int(counts[each]), float(sums[0][each] / counts[each]), float(sums[1][each] / counts[each]))
        for each in np.flatnonzero(counts).tolist()
    )
