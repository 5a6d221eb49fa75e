"""Whether a file's scores are the network's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import AgreementError
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.task import TOLERANCE


@dataclass(frozen=True)
class ScoreAgreement:
    """largest: difference of a score in any cell. differing: the images where it is above the tolerance."""

    images: int
    largest: float
    differing: tuple[int, ...]

    def to_dict(self) -> dict[str, float]:
        return {"images": self.images, "tolerance": TOLERANCE, "max_score_difference": self.largest}

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        if self.differing:
            named = [str(each) if names is None else names[each] for each in self.differing[:5]]
            raise AgreementError(f"{exported}: scores differ by up to {self.largest:.2g} on {', '.join(named)}.")


def agree(reference: Tensors, candidate: Tensors) -> ScoreAgreement:
    """Of both levels."""
    difference = np.stack(
        [np.abs(reference[role].astype(np.float64) - candidate[role]).max(axis=(1, 2)) for role in ("fine", "coarse")]
    ).max(axis=0)
    difference[~np.isfinite(difference)] = np.inf
    return ScoreAgreement(
        len(difference), float(difference.max()), tuple(np.flatnonzero(difference > TOLERANCE).tolist())
    )
