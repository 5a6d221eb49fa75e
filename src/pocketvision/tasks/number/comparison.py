"""Two models that say a number, on the same images."""

from collections.abc import Sequence

import numpy as np

from pocketvision.tasks.figure_comparison import FigureComparison, Wording
from pocketvision.tasks.number.metrics import HEADLINE, draws, r2
from pocketvision.tasks.number.record import NumberRecord, stacked

WORDING = Wording(
    HEADLINE,
    "R²",
    kept="kept",
    difference="mean_difference",
    lost="{lost} points of R² are lost against the reference's own answers, which differ by {difference} on average, on {images}",
)

_NO_ANSWER = 1e12
"""Stands for what is not a number: as far off as can still be squared."""


def compare(reference: Sequence[NumberRecord], candidate: Sequence[NumberRecord]) -> FigureComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's. What is kept is the candidate's R² if the
    reference's answers were the truth."""
    (one, truth), (other, _) = stacked(reference), stacked(candidate)
    one, other = (np.where(np.isfinite(each), each, _NO_ANSWER) for each in (one, other))
    found = FigureComparison(len(one), float(r2(other, one)), float(np.abs(one - other).mean()), WORDING)
    if truth is None:
        return found
    drawn = draws(len(truth), 0)
    return found.judged(
        (float(r2(one, truth)), float(r2(other, truth))), (r2(one[drawn], truth[drawn]), r2(other[drawn], truth[drawn]))
    )
