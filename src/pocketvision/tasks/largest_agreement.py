"""Does an exported file give the network's numbers? By the largest difference of one output, for tasks that answer in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import AgreementError
from pocketvision.printable import counted
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.task import TOLERANCE


@dataclass(frozen=True)
class LargestAgreement:
    """largest: difference of any number of any image. differing: the images where it is above the tolerance. name: the largest's
    in JSON. what: with {largest}, how far apart they are, in words."""

    images: int
    largest: float
    differing: tuple[int, ...]
    name: str
    what: str

    def to_dict(self) -> dict[str, float]:
        return {"images": self.images, "tolerance": TOLERANCE, self.name: self.largest}

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        """AgreementError where an image differs."""
        if not self.differing:
            return
        named = [f"image {each}" if names is None else names[each] for each in self.differing[:5]]
        raise AgreementError(
            f"{exported} does not answer like the trained network: {self.what.format(largest=f'{self.largest:.2g}')} (at most "
            f"{TOLERANCE:.2g} is allowed) on {len(self.differing)} of {counted(self.images, 'image')}: {', '.join(named)}. "
            "The file must not be shipped."
        )


def agreeing_in(role: str, name: str, what: str) -> Callable[[Tensors, Tensors], LargestAgreement]:
    """Compares the output `role`, (N, …) with N >= 1; what is not a number is an infinite difference. name, what: see above."""

    def agree(reference: Tensors, candidate: Tensors) -> LargestAgreement:
        difference = np.abs(reference[role].astype(np.float64) - candidate[role].astype(np.float64))
        difference[~np.isfinite(difference)] = np.inf
        largest = difference.reshape(len(difference), -1).max(axis=1)
        differing = tuple(np.flatnonzero(largest > TOLERANCE).tolist())
        return LargestAgreement(len(largest), float(largest.max()), differing, name, what)

    return agree
