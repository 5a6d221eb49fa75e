"""Does an exported file give each tag the network's probability?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import AgreementError
from pocketvision.printable import counted
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.tags.decode import PROBABILITIES
from pocketvision.tasks.task import TOLERANCE


@dataclass(frozen=True)
class TagAgreement:
    """largest: difference of any tag's probability on any image. differing: the images where it is above the tolerance."""

    images: int
    largest: float
    differing: tuple[int, ...]

    def to_dict(self) -> dict[str, float]:
        return {"images": self.images, "tolerance": TOLERANCE, "max_probability_difference": self.largest}

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        """AgreementError where an image differs."""
        if not self.differing:
            return
        named = [f"image {each}" if names is None else names[each] for each in self.differing[:5]]
        raise AgreementError(
            f"{exported} does not answer like the trained network: probabilities of tags differ by up to {self.largest:.2g} (at "
            f"most {TOLERANCE:.2g} is allowed) on {len(self.differing)} of {counted(self.images, 'image')}: {', '.join(named)}. "
            "The file must not be shipped."
        )


def agree(reference: Tensors, candidate: Tensors) -> TagAgreement:
    """Of the probabilities (N, tags), N >= 1; what is not a number is an infinite difference."""
    one, other = (each[PROBABILITIES].astype(np.float64) for each in (reference, candidate))
    difference = np.abs(one - other)
    difference[~np.isfinite(difference)] = np.inf
    largest = difference.max(axis=1)
    return TagAgreement(len(one), float(largest.max()), tuple(np.flatnonzero(largest > TOLERANCE).tolist()))
