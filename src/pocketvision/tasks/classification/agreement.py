"""Does the exported model answer like the trained one? Measured on real images, written down, and enforced."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import AgreementError
from pocketvision.printable import counted
from pocketvision.tasks.classification.decode import PROBABILITIES
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.task import TOLERANCE


@dataclass(frozen=True)
class ProbabilityAgreement:
    """How far a candidate's answers are from the reference's.

    max_probability_difference: over all images and classes. top1_agreement: share of images with the same answer, near
    ties counted as the same. differing: indices of images whose probabilities differ by more than `tolerance` (or are
    not numbers). flips: indices of images with another answer beyond a tie.
    """

    images: int
    tolerance: float
    max_probability_difference: float
    top1_agreement: float
    differing: tuple[int, ...]
    flips: tuple[int, ...]

    def to_dict(self) -> dict[str, float]:
        """The figures that a bundle's manifest keeps for an exported file."""
        return {
            "images": self.images,
            "tolerance": self.tolerance,
            "max_probability_difference": self.max_probability_difference,
            "top1_agreement": self.top1_agreement,
        }

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        """Raise AgreementError, saying which images, if a probability differs beyond tolerance or an answer flipped.

        exported: the exported file, for the message. names: the images' names, else their indices are given.
        """
        if not self.differing and not self.flips:
            return

        def listed(indices: tuple[int, ...]) -> str:
            shown = [names[index] if names is not None else f"image {index}" for index in indices[:5]]
            more = f" and {len(indices) - 5} more" if len(indices) > 5 else ""
            return ", ".join(shown) + more

        found = []
        if self.differing:
            found.append(
                f"probabilities differ by up to {self.max_probability_difference:.2g} (at most {self.tolerance:.2g} is "
                f"allowed) on {len(self.differing)} of {counted(self.images, 'image')}: {listed(self.differing)}"
            )
        if self.flips:
            found.append(
                f"the answer is another one on {len(self.flips)} of {counted(self.images, 'image')}: {listed(self.flips)}"
            )
        raise AgreementError(
            f"{exported} does not answer like the trained network: {'; '.join(found)}. The file must not be shipped; "
            "check the versions of torch, onnx and onnxruntime, and report it with them if they are current."
        )


def agree(reference: Tensors, candidate: Tensors) -> ProbabilityAgreement:
    """Of a network's outputs and a file's, by role: their probabilities count."""
    return agreement(reference[PROBABILITIES], candidate[PROBABILITIES])


def agreement(
    reference_probabilities: NDArray[np.floating],
    candidate_probabilities: NDArray[np.floating],
    tolerance: float = TOLERANCE,
) -> ProbabilityAgreement:
    """Compare probabilities (N, classes) of the same N >= 1 images.

    A different top-1 answer is a flip unless the reference sees a near tie: the candidate's class at most `tolerance`
    below its best. Numbers that are not finite are an infinite difference. Raises ValueError when the shapes differ.
    """
    reference = np.asarray(reference_probabilities, dtype=np.float64)
    candidate = np.asarray(candidate_probabilities, dtype=np.float64)
    if reference.ndim != 2 or reference.shape != candidate.shape or len(reference) == 0:
        raise ValueError(
            f"probabilities have the shapes {reference.shape} and {candidate.shape}; expected equal (images, classes)"
        )
    difference = np.abs(reference - candidate)
    difference[~np.isfinite(difference)] = np.inf
    largest = difference.max(axis=1)
    rows = np.arange(len(reference))
    best, answered = reference.argmax(axis=1), candidate.argmax(axis=1)
    # A comparison with "not <=" so that not-a-number counts as a flip.
    flipped = (best != answered) & ~(reference[rows, best] - reference[rows, answered] <= tolerance)
    return ProbabilityAgreement(
        images=len(reference),
        tolerance=tolerance,
        max_probability_difference=float(largest.max()),
        top1_agreement=1.0 - float(flipped.mean()),
        differing=tuple(np.flatnonzero(largest > tolerance).tolist()),
        flips=tuple(np.flatnonzero(flipped).tolist()),
    )
