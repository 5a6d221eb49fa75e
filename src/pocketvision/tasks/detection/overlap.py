"""How far boxes overlap. Boxes are left, top, right, bottom; one that is turned inside out has no area."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.truth import areas

Boxes = NDArray[np.floating]
"""(n, 4)."""


def intersections(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """(n, m) the area that each of (n, 4) shares with each of (m, 4)."""
    first, second = np.asarray(one, np.float64)[:, None], np.asarray(other, np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    sides = np.maximum(sides, 0)
    shared: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return shared


def ious(one: Boxes, other: Boxes, crowd: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """(n, m) the intersection over the union, in [0, 1]; 0 where both have no area.

    crowd: (m) which of the others are regions of many objects, as COCO has them: there it is the share of the first box that
    lies in the region.
    """
    shared = intersections(one, other)
    own = areas(np.asarray(one, np.float64))[:, None]
    whole = own + areas(np.asarray(other, np.float64))[None] - shared
    if crowd is not None:
        whole = np.where(crowd[None], own, whole)
    return _shares(shared, whole)


def paired_ious(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """(n) of each of (n, 4) with the other at the same place; 0 where a number is none."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    sides = np.maximum(np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2]), 0)
    shared = sides[:, 0] * sides[:, 1]
    return _shares(shared, areas(first) + areas(second) - shared)


def _shares(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
