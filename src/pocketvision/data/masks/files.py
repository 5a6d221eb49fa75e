"""Masks that are files: read one at a time, in class numbers and upright."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.masks.encoding import Encoding
from pocketvision.data.masks.survey import codes_of
from pocketvision.preprocessing.values import read_values, turned
from pocketvision.tasks.segmentation.truth import Mask


@dataclass(frozen=True, eq=False)
class MaskFiles:
    """n masks. paths: (n) relative to root. turns: (n) EXIF's orientation that makes each upright, 1 for none. encoding: what
    their values stand for. About 80 bytes a mask with paths of 50 characters."""

    root: Path
    paths: tuple[str, ...]
    turns: NDArray[np.uint8]
    encoding: Encoding

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Mask:
        """(h, w) class numbers. Raises ImageError."""
        stored = read_values(self.root / self.paths[index], self.paths[index])
        codes, form, palette = codes_of(stored)
        numbers = self.encoding.numbers(codes, form, palette)
        return np.ascontiguousarray(turned(numbers, int(self.turns[index])))

    def select(self, indices: NDArray[np.int64]) -> Self:
        """Those of the images at `indices`."""
        return replace(self, paths=tuple(self.paths[index] for index in indices.tolist()), turns=self.turns[indices])
