"""Which classes an image may be of, as a bundle tells: those whose probability is high enough (conformal.py)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.manifest import CONFORMAL, TaskManifest


@dataclass(frozen=True)
class ConformalSets:
    """coverage: the share of images, in (0, 1), whose set was to hold the true class. least: the probability from which a class
    is in the set. images: how many it was calibrated on."""

    coverage: float
    least: float
    images: int

    @classmethod
    def of(cls, task: TaskManifest) -> "ConformalSets | None":
        """What a bundle says; None where it tells no sets. Raises ValueError for what is none."""
        told = task.postprocessing.get(CONFORMAL)
        if told is None:
            return None
        if not isinstance(told, dict) or not all(_is_share(told.get(name)) for name in ("coverage", "least")):
            raise ValueError(f"{CONFORMAL} is {str(told)[:80]}; expected coverage and least, numbers from 0 to 1")
        return cls(float(told["coverage"]), float(told["least"]), int(told.get("images", 0)))

    def members(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(n, classes) which classes are in the sets of probabilities (n, classes)."""
        found: NDArray[np.bool_] = np.asarray(probabilities, np.float64) >= self.least
        return found


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
