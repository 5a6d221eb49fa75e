"""Which input size shows objects large enough: chosen from the boxes, before anything is learned."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.truth import BoxLabels

SIZES = (320, 416, 512, 640, 800, 960, 1280)
"""Sides of square inputs, multiples of 32, that are tried."""

SMALL = 8.0
"""Pixels of an object's shorter side in the input, below which a stride of 8 has less than one cell for it."""

FEW = 0.02
"""The share of objects that may stay smaller than that."""


@dataclass(frozen=True)
class SizeChoice:
    """size: of SIZES the smallest in which at most FEW of the objects are small, else the largest. shares: what share is small in
    each of SIZES."""

    size: int
    shares: dict[int, float]


def shorter_sides(truth: BoxLabels, sizes: NDArray[np.integer]) -> NDArray[np.float64]:
    """(m) the shorter side of each object as a share of its picture's longer side, by which a picture is fitted into a square.
    sizes: (n, 2) width and height of the pictures, NaN for objects where one is 0. Crowds are left out."""
    counted = ~truth.rows.columns["crowd"]
    sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]).min(axis=1)[counted]
    longest = sizes.max(axis=1)[truth.images[counted]].astype(np.float64)
    shares: NDArray[np.float64] = np.divide(sides, longest, out=np.full(len(sides), np.nan), where=longest > 0)
    return shares


def choose_size(truth: BoxLabels, sizes: NDArray[np.integer]) -> SizeChoice:
    """For n pictures of `sizes` (n, 2). The smallest where there is no object."""
    sides = shorter_sides(truth, sizes)
    sides = sides[np.isfinite(sides)]
    shares = {size: float(np.mean(sides * size < SMALL)) if len(sides) else 0.0 for size in SIZES}
    return SizeChoice(next((size for size in SIZES if shares[size] <= FEW), SIZES[-1]), shares)
