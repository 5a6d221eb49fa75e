"""Does an exported file give the network's masks: the same class for nearly every pixel, and nearly the same logits?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import AgreementError
from pocketvision.printable import counted
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.segmentation.decode import LOGITS
from pocketvision.tasks.task import TOLERANCE

MOST_DIFFERING = 0.001
"""Share of an image's pixels, of the output's size, that may have another class."""


@dataclass(frozen=True)
class SegmentationAgreement:
    """largest: difference of any probability. pixels: share of all of them that have another class. differing: the images of
    which more than MOST_DIFFERING have, or where the difference is above the tolerance."""

    images: int
    largest: float
    pixels: float
    differing: tuple[int, ...]

    def to_dict(self) -> dict[str, float]:
        return {
            "images": self.images,
            "tolerance": TOLERANCE,
            "max_probability_difference": self.largest,
            "differing_pixels": self.pixels,
        }

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        """AgreementError where an image differs."""
        if not self.differing:
            return
        named = [f"image {each}" if names is None else names[each] for each in self.differing[:5]]
        raise AgreementError(
            f"{exported} does not give the masks of the trained network: {self.pixels:.3%} of the pixels have another class "
            f"(at most {MOST_DIFFERING:.1%} of an image may) and probabilities differ by up to {self.largest:.2g} (at most "
            f"{TOLERANCE:.2g}) on {len(self.differing)} of {counted(self.images, 'image')}: {', '.join(named)}. The file must "
            "not be shipped."
        )


def agree(reference: Tensors, candidate: Tensors) -> SegmentationAgreement:
    """Of logits (N, classes, h, w), N >= 1. What is not a number is an infinite difference."""
    one, other = (each[LOGITS].astype(np.float64) for each in (reference, candidate))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(_chances(one) - _chances(other))
    difference[~np.isfinite(difference)] = np.inf
    largest = difference.reshape(len(one), -1).max(axis=1)
    other_class = (one.argmax(axis=1) != other.argmax(axis=1)).reshape(len(one), -1).mean(axis=1)
    differs = (largest > TOLERANCE) | (other_class > MOST_DIFFERING)
    return SegmentationAgreement(
        len(one), float(largest.max()), float(other_class.mean()), tuple(np.flatnonzero(differs).tolist())
    )


def _chances(
    logits: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = raised / raised.sum(axis=1, keepdims=True)
    return found
