"""Samples: images with what was said about them, as an index. Paths, truth by task, groups and splits; never the pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.finding import Finding
from pocketvision.data.left_out import LeftOut
from pocketvision.data.origin import Origin
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.classification.truth import CLASSIFICATION, ClassLabels
from pocketvision.tasks.truth import Strata, Truth, together

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
    """n images with their truth, about 120 bytes a row with paths of 60 characters and one label each.

    root: the folder that relative paths start from.
    paths: (n) relative to `root` with "/" between parts; absolute when outside.
    truth: by task name, (n) each. An image may lack the truth of a task, but not of all.
    groups: (n) int32, images of one group must stay in one split, -1 is no group; None when the source has no groups.
    splits: (n) int8, index into SPLITS; None when the source has no splits.
    left_out: what of the source is in no row, counted by reason.
    reading: sentences that say how the source was understood where it could have been understood otherwise.
    origin: where they were read from; None where they were not read.
    found: what was wrong or odd in the files that say the truth, for the audit to tell.
    windows: (n, 4) left, top, right and bottom in pixels, of images that are parts of what their files hold, upright; None for
    all of it.
    """

    root: Path
    paths: Sequence[str]
    truth: Mapping[str, Truth]
    groups: NDArray[np.int32] | None = None
    splits: NDArray[np.int8] | None = None
    left_out: tuple[LeftOut, ...] = ()
    reading: tuple[str, ...] = ()
    origin: Origin | None = None
    found: tuple[Finding, ...] = ()
    windows: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        if not self.truth:
            raise ValueError("There is no truth of any task.")
        for task, truth in self.truth.items():
            if len(truth) != len(self.paths):
                raise ValueError(f"{task}: the truth of {len(truth)} images for {len(self.paths)}")

    def __len__(self) -> int:
        return len(self.paths)

    def file(self, index: int) -> Path:
        """Where image `index` lies."""
        return self.root / self.paths[index]

    @property
    def classes(self) -> ClassLabels | None:
        """What classification learns from; None where the source has other truth alone."""
        truth = self.truth.get(CLASSIFICATION)
        return truth if isinstance(truth, ClassLabels) else None

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n) of classification, index into `class_names`. Raises UsageError where there is none."""
        if self.classes is None:
            raise UsageError(f"{self.root}: it has the truth of {', '.join(self.truth)}, and no class for each image.")
        return self.classes.labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every class in index order, those without images included: of classification, else of the first task."""
        return self._main.class_names

    def class_name(self, index: int) -> str:
        """The class name of image `index`; empty where it has none."""
        place = -1 if self.classes is None else int(self.classes.labels[index])
        return "" if place < 0 else self._main.class_names[place]

    def class_counts(self) -> NDArray[np.int64]:
        """(classes) how many images each class is in."""
        return self._main.class_counts()

    @property
    def strata(self) -> Strata:
        """Of n images, numbers from 0: what a split shares out evenly. Of several tasks the things of all."""
        parts = [each.strata for each in self.truth.values()]
        return parts[0] if len(parts) == 1 else together(parts)

    def said(self, index: int) -> bytes:
        """All that was said of image `index`, task by task."""
        return b"|".join(self.truth[task].said(index) for task in sorted(self.truth))

    def in_classes(self, class_names: tuple[str, ...]) -> "Samples":
        """The same with `class_names` by another list. Raises UsageError where a class with images is not among them."""
        main = self._main
        named = {task: each.in_classes(class_names) if each is main else each for task, each in self.truth.items()}
        return replace(self, truth=named)

    @property
    def _main(self) -> Truth:
        return self.classes or next(iter(self.truth.values()))

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

    def require_elsewhere(self, folder: Path, option: str) -> None:
        """Raise UsageError for files that would be written among the images, and be read as data the next time."""
        if folder.resolve() == self.root.resolve():
            raise UsageError(
                f"{folder} holds the images, and nothing is written among them. Name a new folder for {option}."
            )

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]) -> "Samples":
        """The samples at `indices` (integers in any order, or a mask of n booleans), with the same classes."""
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return replace(
            self,
            paths=[self.paths[index] for index in chosen.tolist()],
            truth={task: truth.select(chosen) for task, truth in self.truth.items()},
            groups=None if self.groups is None else self.groups[chosen],
            splits=None if self.splits is None else self.splits[chosen],
            windows=None if self.windows is None else self.windows[chosen],
        )

    def with_splits(self, splits: NDArray[np.int8]) -> "Samples":
        """The same samples in other splits: (n) int8, index into SPLITS."""
        if len(splits) != len(self):
            raise ValueError(f"{len(splits)} splits for {len(self)} samples")
        return replace(self, splits=splits.astype(np.int8))


def split_of_cell(cell: str, where: str) -> int:
    """An index into SPLITS. Raises UsageError, with `where`, for a cell that names none."""
    split = SPLIT_NAMES.get(cell.strip().lower())
    if split is None:
        raise UsageError(f"{where}: the split is {quoted(cell)}. Expected {', '.join(SPLITS)}.")
    return split
