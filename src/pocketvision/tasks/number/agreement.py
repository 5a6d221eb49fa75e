"""Does an exported file give the network's number?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import AgreementError
from pocketvision.printable import counted
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.number.decode import STANDARDISED
from pocketvision.tasks.task import TOLERANCE


@dataclass(frozen=True)
class NumberAgreement:
    """largest: difference, in standard deviations of the numbers that were learned from. differing: images above the
    tolerance."""

    images: int
    largest: float
    differing: tuple[int, ...]

    def to_dict(self) -> dict[str, float]:
        return {"images": self.images, "tolerance": TOLERANCE, "max_standardised_difference": self.largest}

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        """AgreementError where an image differs."""
        if not self.differing:
            return
        named = [f"image {each}" if names is None else names[each] for each in self.differing[:5]]
        raise AgreementError(
            f"{exported} does not answer like the trained network: numbers differ by up to {self.largest:.2g} standard "
            f"deviations "
            f"(at most {TOLERANCE:.2g} is allowed) on {len(self.differing)} of {counted(self.images, 'image')}: "
            f"{', '.join(named)}. The file must not be shipped."
        )


def agree(reference: Tensors, candidate: Tensors) -> NumberAgreement:
    """Of N >= 1 images; what is not a number is an infinite difference."""
    one, other = (each[STANDARDISED].astype(np.float64)[:, 0] for each in (reference, candidate))
    difference = np.abs(one - other)
    difference[~np.isfinite(difference)] = np.inf
    return NumberAgreement(len(one), float(difference.max()), tuple(np.flatnonzero(difference > TOLERANCE).tolist()))
