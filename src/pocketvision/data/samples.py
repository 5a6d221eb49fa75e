"""Samples: labelled images as an index. Paths, labels, groups and splits; never the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.left_out import LeftOut

SPLITS = ("train", "val", "test")

# Names that people give their splits, in folders and in tables, compared in lower case.
SPLIT_NAMES = {
    "train": 0,
    "training": 0,
    "trn": 0,
    "학습": 0,
    "훈련": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "validate": 1,
    "dev": 1,
    "eval": 1,
    "evaluation": 1,
    "검증": 1,
    "test": 2,
    "testing": 2,
    "tst": 2,
    "holdout": 2,
    "시험": 2,
    "테스트": 2,
    "평가": 2,
}


@dataclass(frozen=True, eq=False)
class Samples:
    """n labelled images, about 120 bytes a row with paths of 60 characters.

    root: the folder that relative paths start from.
    paths: (n) relative to `root` with "/" between parts; absolute when outside.
    labels: (n) int32, index into `class_names`.
    class_names: every class in index order, those without images included.
    groups: (n) int32, images of one group must stay in one split, -1 is no group; None when the source has no groups.
    splits: (n) int8, index into SPLITS; None when the source has no splits.
    left_out: what of the source is in no row, counted by reason.
    reading: sentences that say how the source was understood where it could have been understood otherwise.
    """

    root: Path
    paths: Sequence[str]
    labels: NDArray[np.int32]
    class_names: tuple[str, ...]
    groups: NDArray[np.int32] | None = None
    splits: NDArray[np.int8] | None = None
    left_out: tuple[LeftOut, ...] = ()
    reading: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def file(self, index: int) -> Path:
        """Where image `index` lies."""
        return self.root / self.paths[index]

    def label_name(self, index: int) -> str:
        """The class name of image `index`."""
        return self.class_names[int(self.labels[index])]

    def label_counts(self) -> NDArray[np.int64]:
        """(classes) how many images each class has."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    @property
    def account(self) -> tuple[str, ...]:
        """How the source was understood and what was left out, a line each."""
        return *self.reading, *(each.line for each in self.left_out)

    def split_indices(self, split: str) -> NDArray[np.int64]:
        """Ascending indices of the images of `split`, one of SPLITS; without splits every image is in "train"."""
        wanted = SPLITS.index(split)
        if self.splits is None:
            return np.arange(len(self) if wanted == 0 else 0)
        return np.flatnonzero(self.splits == wanted)

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]) -> "Samples":
        """The samples at `indices` (integers in any order, or a mask of n booleans), with the same classes."""
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return replace(
            self,
            paths=[self.paths[index] for index in chosen.tolist()],
            labels=self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            splits=None if self.splits is None else self.splits[chosen],
        )

    def with_splits(self, splits: NDArray[np.int8]) -> "Samples":
        """The same samples in other splits: (n) int8, index into SPLITS."""
        if len(splits) != len(self):
            raise ValueError(f"{len(splits)} splits for {len(self)} samples")
        return replace(self, splits=splits.astype(np.int8))
