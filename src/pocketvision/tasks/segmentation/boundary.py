"""How well an answer's borders lie on the true ones: pixels of a border that are near one of the other's.

The boundary F1 of Csurka et al. (2013), "What is a good evaluation measure for semantic segmentation?", with pixels counted
over the whole set of images instead of averaged image by image, so that it can be drawn again as the other figures.
"""

from math import ceil, floor, hypot, sqrt

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.segmentation.truth import NOTHING, Mask

NEAR = 0.0075
"""Of the image's diagonal: how far apart borders may be."""

MOST_PIXELS = 1_000_000
"""Larger images are looked at by every second, third … pixel."""

Marks = NDArray[np.bool_]


def boundary_counts(said: Mask, there: Mask, classes: int) -> NDArray[np.int64]:
    """(classes, 4) pixels: of the answer's border, those of them near a true one, of the true border, those of them near the
    answer's. said, there: (h, w) each; pixels where there is nothing are no border's."""
    step = max(1, ceil(sqrt(said.size / MOST_PIXELS)))
    said, there = said[::step, ::step], there[::step, ::step]
    said = np.where(there == NOTHING, np.uint8(NOTHING), said)
    radius = NEAR * hypot(*said.shape)
    counts = np.zeros((classes, 4), np.int64)
    for place in np.union1d(np.unique(said), np.unique(there)).tolist():
        if place >= classes:
            continue
        one, other = (border(each == place, there != NOTHING) for each in (said, there))
        counts[place] = (one.sum(), (one & near(other, radius)).sum(), other.sum(), (other & near(one, radius)).sum())
    return counts


def border(region: Marks, known: Marks) -> Marks:
    """(h, w) the pixels of a region beside one that is known not to be of it, to the left, right, above or below."""
    outside = ~region & known
    found = np.zeros_like(region)
    found[1:] |= outside[:-1]
    found[:-1] |= outside[1:]
    found[:, 1:] |= outside[:, :-1]
    found[:, :-1] |= outside[:, 1:]
    return found & region


def near(marks: Marks, radius: float) -> Marks:
    """(h, w) whether a marked pixel is at most so many pixels away. Each row is widened as far as a circle is at its distance."""
    found = np.zeros_like(marks)
    rows = np.flatnonzero(marks.any(axis=1))
    if not len(rows):
        return found
    for distance in range(floor(radius) + 1):
        wide = _widened(marks[rows], floor(sqrt(radius**2 - distance**2)))
        for moved in {distance, -distance}:
            inside = (rows + moved >= 0) & (rows + moved < len(marks))
            found[rows[inside] + moved] |= wide[inside]
    return found


def _widened(marks: Marks, side: int) -> Marks:
    """(h, w) whether a pixel of the same row, at most `side` away, is marked."""
    if side == 0:
        return marks
    sums = np.cumsum(np.pad(marks.astype(np.int32), ((0, 0), (side + 1, side))), axis=1)
    wide: Marks = sums[:, 2 * side + 1 :] > sums[:, : -2 * side - 1]
    return wide
