"""Two models that tag, on the same images."""

from collections.abc import Sequence

import numpy as np

from pocketvision.tasks.figure_comparison import FigureComparison, Wording
from pocketvision.tasks.tags.metrics import HEADLINE, average_precisions, resampled
from pocketvision.tasks.tags.record import TagRecord, stacked

WORDING = Wording(
    HEADLINE,
    "the mean average precision",
    kept="same",
    difference="mean_probability_difference",
    lost="{lost} % of the tags of {images} changed",
)


def compare(reference: Sequence[TagRecord], candidate: Sequence[TagRecord]) -> FigureComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's. What is kept is the share of yes and no that did
    not change."""
    one, other = stacked(reference), stacked(candidate)
    difference = np.abs(one.probabilities - other.probabilities)
    difference[~np.isfinite(difference)] = np.inf
    same = float((one.said == other.said).mean())
    found = FigureComparison(len(reference), same, float(difference.mean()), WORDING)
    marks = one.marks
    if marks is None or not marks.any():
        return found
    weights = np.ones((1, len(marks)), np.int64)
    # What is not a number is no answer: the lowest score there is.
    first, second = (np.where(np.isfinite(each.probabilities), each.probabilities, -1.0) for each in (one, other))
    means = [float(np.nanmean(average_precisions(each, marks, weights))) for each in (first, second)]
    return found.judged((means[0], means[1]), (resampled(first, marks, 0), resampled(second, marks, 0)))
