"""Which detections are right: each object is found once, by the best detection that overlaps it enough (COCO's rules).

Lin et al. 2014, and what COCO's own code adds: a detection takes the object that it overlaps most of those that no better one
took, one that counts before one that does not; in a crowd any number may lie; a detection without an object is not counted
where its own area is outside the range of sizes that is measured.
"""

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import areas

IOUS = np.linspace(0.5, 0.95, 10)
"""From which overlap on a detection is right."""

SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Areas in square pixels, both ends included."""

LOWS, HIGHS = np.array(list(SIZES.values())).T

WRONG, RIGHT, IGNORED = 0, 1, 2
"""States of a detection."""


def match(
    found: Detections,
    boxes: NDArray[np.float64],
    classes: NDArray[np.integer],
    crowd: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Of an image's k detections, the highest score first, and its m objects.

    boxes, classes, crowd: (m, 4), (m) and (m). ignored: (sizes, m) which do not count in each range of SIZES, crowds among them.
    Returns the states (sizes, IoUs, k), and (k) the object that each took at the lowest IoU among all sizes, -1 for none.
    """
    states = np.full((len(SIZES), len(IOUS), len(found)), WRONG, np.uint8)
    took = np.full(len(found), -1, np.int64)
    overlaps = ious(found.boxes, boxes, crowd)
    overlaps[found.classes[:, None] != classes[None]] = 0
    taken = np.zeros((len(SIZES), len(IOUS), len(boxes)), np.bool_)
    for place in np.flatnonzero(overlaps.max(axis=1, initial=0) >= IOUS[0]).tolist():
        # Backwards: of equal overlaps the last object is taken.
        near = np.flatnonzero(overlaps[place] >= IOUS[0])[::-1]
        overlap = overlaps[place, near]
        free = ~taken[:, :, near] & (overlap >= IOUS[:, None])
        counting = free & ~ignored[:, None, near]
        usable = np.where(counting.any(axis=2, keepdims=True), counting, free)
        best = np.where(usable, overlap, -1).argmax(axis=2)
        has = np.take_along_axis(free, best[..., None], axis=2)[..., 0]
        objects = near[best]
        rows, columns = np.nonzero(has)
        chosen = objects[rows, columns]
        taken[rows, columns, chosen] = ~crowd[chosen]
        states[rows, columns, place] = np.where(ignored[rows, chosen], IGNORED, RIGHT)
        took[place] = objects[0, 0] if has[0, 0] else -1
    own = areas(found.boxes)
    outside = (own < LOWS[:, None]) | (own > HIGHS[:, None])
    states[(states == WRONG) & outside[:, None]] = IGNORED
    return states, took


def ignored_by_size(own_areas: NDArray[np.floating], never: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(sizes, m) which objects do not count in each range: those outside it, and those that `never` (m) do."""
    outside: NDArray[np.bool_] = (own_areas < LOWS[:, None]) | (own_areas > HIGHS[:, None])
    return never | outside
