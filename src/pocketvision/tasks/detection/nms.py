"""Non-maximum suppression: of boxes that show the same object, the one with the highest score stays."""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 32
"""Boxes that are looked at in one go: large enough for few passes, small enough for the cache."""


def surviving(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.integer] | None,
    *,
    iou: float,
    most: int,
) -> NDArray[np.int64]:
    """(k) the places of the boxes that stay, the highest score first, k <= most; of equal scores the first is the higher.

    boxes: (n, 4), left, top, right, bottom, finite. scores: (n). classes: (n), of which only boxes of the same one suppress each
    other; None: all do. iou: a box goes where its intersection over union with a better one that stays is larger, in [0, 1].

    Greedy, and exactly that: the best boxes left settle it among themselves, and then all of them look at the rest at once.
    """
    order = np.argsort(-scores, kind="stable")
    group = np.zeros(len(order), np.int32) if classes is None else classes[order].astype(np.int32)
    left = _Candidates.of(boxes[order], group, order, iou)
    kept = [order[:0]]
    while len(left.places) and most > 0:
        best, rest = left.take(slice(0, _BLOCK)), left.take(slice(_BLOCK, None))
        stay = _greedy(best.hits(best))[:most]
        most -= len(stay)
        best = best.take(np.array(stay))
        kept.append(best.places)
        if most > 0 and len(rest.places):
            rest = rest.take(np.flatnonzero(~best.hits(rest).any(axis=0)))
        left = rest
    return np.concatenate(kept)


class _Candidates:
    """Boxes in falling order of their scores: low and high corners (2, n), areas scaled by iou / (1 + iou) (n), classes (n), and
    where they came from (n)."""

    def __init__(
        self,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
        scaled: NDArray[np.float32],
        group: NDArray[np.int32],
        places: NDArray[np.int64],
    ) -> None:
        self.low, self.high, self.scaled, self.group, self.places = low, high, scaled, group, places

    @classmethod
    def of(
        cls, boxes: NDArray[np.floating], group: NDArray[np.int32], places: NDArray[np.int64], iou: float
    ) -> "_Candidates":
        corners = np.ascontiguousarray(boxes.T, np.float32)
        low, high = corners[:2], corners[2:]
        sides = np.maximum(high - low, 0)
        return cls(low, high, sides[0] * sides[1] * np.float32(iou / (1 + iou)), group, places)

    def take(self, chosen: slice | NDArray[np.int64]) -> "_Candidates":
        return _Candidates(
            self.low[:, chosen], self.high[:, chosen], self.scaled[chosen], self.group[chosen], self.places[chosen]
        )

    def hits(self, other: "_Candidates") -> NDArray[np.bool_]:
        """(n, m) whether a box is too much the same as another: shared / (one + other - shared) > iou, without the division."""
        shared, height = (
            np.minimum(self.high[axis][:, None], other.high[axis])
            - np.maximum(self.low[axis][:, None], other.low[axis])
            for axis in (0, 1)
        )
        np.maximum(shared, 0, out=shared)
        np.maximum(height, 0, out=height)
        shared *= height
        np.add(self.scaled[:, None], other.scaled, out=height)
        found: NDArray[np.bool_] = (shared > height) & (self.group[:, None] == other.group)
        return found


def _greedy(hits: NDArray[np.bool_]) -> list[int]:
    """The rows that no earlier one that stays hits."""
    gone, stay = np.zeros(len(hits), np.bool_), []
    for place, row in enumerate(hits):
        if not gone[place]:
            stay.append(place)
            gone |= row
    return stay
