"""How far average precision would be another one with other images: drawn again, many times."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.statistics import RESAMPLES
from pocketvision.tasks.detection.matching import IOUS
from pocketvision.tasks.detection.precision import Ranked
from pocketvision.tasks.detection.record import Rows

_NUMBERS_AT_ONCE = 1_000_000
_MOST_RESAMPLED = 40_000_000
"""Resamples times detections; each is counted at ten overlaps."""


def resampled(rows: Rows, classes: int, seed: int) -> NDArray[np.float64]:
    """(resamples, classes, IoUs) average precisions of images drawn again; the same draws for the same n and seed. NaN where no
    object of the class was drawn. Fewer, or none, where the numbers are too many."""
    count = min(RESAMPLES, _MOST_RESAMPLED // max(len(rows.scores), rows.images, 1))
    found = np.full((count, classes, len(IOUS)), np.nan)
    generator, ranked = np.random.default_rng(seed), [Ranked.of(rows, place) for place in range(classes)]
    largest = max([rows.images, *(len(each.scores) for each in ranked)])
    at_once = max(1, _NUMBERS_AT_ONCE // largest)
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        drawn = generator.integers(0, rows.images, (size, rows.images)) + np.arange(size)[:, None] * rows.images
        weights = np.bincount(drawn.ravel(), minlength=size * rows.images).reshape(size, rows.images)
        columns = np.ascontiguousarray(weights.T, np.int32)
        for place, each in enumerate(ranked):
            found[start : start + size, place] = each.average_precisions(columns).T
    return found


def means(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """(resamples) over all other axes, of what is defined; NaN where nothing is."""
    flat = drawn.reshape(len(drawn), -1)
    defined = np.isfinite(flat)
    sums = np.where(defined, flat, 0).sum(axis=1)
    return np.where(defined.any(axis=1), sums / np.maximum(defined.sum(axis=1), 1), np.nan)
