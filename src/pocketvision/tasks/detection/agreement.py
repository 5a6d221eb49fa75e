"""Does an exported file find the network's objects: the same boxes with the same scores, before any is suppressed?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import AgreementError
from pocketvision.printable import counted
from pocketvision.tasks.detection.decode import BOXES, SCORES
from pocketvision.tasks.detection.ordering import in_order_of
from pocketvision.tasks.detection.overlap import paired_ious
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.task import TOLERANCE

LEAST_IOU = 0.99
"""Of a box and the one at the same place of the other's."""

LEAST_SCORE = 0.01
"""Of a box that matters: others are never shown, and may lie anywhere."""

LEAST_SIDE = 0.01
"""Pixels of the input, of a box that matters: thinner ones, as of distances that a network cuts at 0, show nothing."""


@dataclass(frozen=True)
class DetectionAgreement:
    """boxes: that matter, in either's eyes. largest: difference of any score. least: IoU of a box that matters, 1 without any.
    differing: the images where the difference is above the tolerance, or a box below LEAST_IOU."""

    images: int
    boxes: int
    largest: float
    least: float
    differing: tuple[int, ...]

    def to_dict(self) -> dict[str, float]:
        return {
            "images": self.images,
            "tolerance": TOLERANCE,
            "boxes": self.boxes,
            "max_score_difference": self.largest,
            "min_iou": self.least,
        }

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        """AgreementError where an image differs."""
        if not self.differing:
            return
        named = [f"image {each}" if names is None else names[each] for each in self.differing[:5]]
        raise AgreementError(
            f"{exported} does not find what the trained network finds: scores differ by up to {self.largest:.2g} (at most "
            f"{TOLERANCE:.2g} is allowed) and boxes overlap by {self.least:.3f} at least ({LEAST_IOU:g} is asked for) on "
            f"{len(self.differing)} of {counted(self.images, 'image')}: {', '.join(named)}. The file must not be shipped."
        )


def agree(reference: Tensors, candidate: Tensors) -> DetectionAgreement:
    """Of boxes (N, A, 4) and scores (N, A, classes), N >= 1: each is compared with the one at the same place, once both are
    in one order (ordering.py). What is not a number is an infinite difference, and overlaps nothing."""
    candidate = in_order_of(reference, candidate)
    one, other = (each[SCORES].astype(np.float64) for each in (reference, candidate))
    difference = np.abs(one - other)
    difference[~np.isfinite(difference)] = np.inf
    largest = difference.reshape(len(one), -1).max(axis=1, initial=0)
    images, places = np.nonzero(np.fmax(one, other).max(axis=2) >= LEAST_SCORE)
    first, second = (each[BOXES][images, places] for each in (reference, candidate))
    wide = ~(_thin(first) & _thin(second))
    images, first, second = images[wide], first[wide], second[wide]
    finite = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    overlaps = np.zeros(len(images))
    overlaps[finite] = paired_ious(first[finite], second[finite])
    differs = largest > TOLERANCE
    differs[images[overlaps < LEAST_IOU]] = True
    least = float(overlaps.min(initial=1.0))
    return DetectionAgreement(
        len(one), len(images), float(largest.max()), least, tuple(np.flatnonzero(differs).tolist())
    )


def _thin(boxes: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(n) of (n, 4) those that are too thin to matter; not those that are no numbers."""
    thin: NDArray[np.bool_] = np.any(boxes[:, 2:] - boxes[:, :2] < LEAST_SIDE, axis=1)
    return thin
