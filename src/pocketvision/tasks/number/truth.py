"""The truth of numbers: one figure for each image."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement

NUMBER = "number"
"""The task's name where it has no other."""

STRATA = 5
"""Parts of equally many images, from low to high, that a split shares out evenly."""


@dataclass(frozen=True, eq=False)
class NumberLabels:
    """values: (n) float64, not-a-number for an image of which nobody said one. unit: what they count, such as "years"; empty
    where nobody named it."""

    values: NDArray[np.float64]
    unit: str = ""
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def present(self) -> NDArray[np.bool_]:
        """(n) whether each image has a number."""
        return np.isfinite(self.values)

    @cached_property
    def strata(self) -> NDArray[np.int64]:
        """(n) which fifth of the numbers each is in; equal numbers are in one. Images without one are in a further part."""
        known = self.values[self.present]
        if len(known) == 0:
            return np.zeros(len(self), np.int64)
        borders = np.quantile(known, np.arange(1, STRATA) / STRATA)
        parts = np.searchsorted(np.unique(borders), self.values, side="left")
        return np.where(self.present, parts, STRATA).astype(np.int64)

    def class_counts(self) -> NDArray[np.int64]:
        """There are no classes."""
        return np.zeros(0, np.int64)

    def select(self, indices: NDArray[np.int64]) -> "NumberLabels":
        """Those of the images at `indices`, integers in any order."""
        return replace(self, values=self.values[indices])

    def aligned(self, rows: NDArray[np.int64]) -> "NumberLabels":
        """Those of other images: (k) which image here each is, or -1 for one without a number."""
        return replace(self, values=np.append(self.values, np.nan)[rows])

    def through(self, index: int, _: Placement) -> "NumberLabels":
        """That of image `index` alone: it is of the whole image, wherever it lies in what was made of it."""
        return self.select(np.array([index]))

    def in_classes(self, class_names: tuple[str, ...]) -> "NumberLabels":
        """The same: there are none."""
        del class_names
        return self

    def said(self, index: int) -> bytes:
        """The number; nothing of an image without one."""
        value = float(self.values[index])
        return f"number:{value!r}".encode() if np.isfinite(value) else b""
