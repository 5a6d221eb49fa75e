"""Classification's truth: a class for each image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.tasks.truth import Truth

CLASSIFICATION = "classification"
"""The task's name where it has no other."""


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """labels: (n) int32, index into `class_names`, -1 for an image that has none. class_names: every class in index order."""

    labels: NDArray[np.int32]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.labels) and not -1 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            found = f"{self.labels.min()} to {self.labels.max()}"
            raise ValueError(f"Labels go from {found}; expected -1 to {len(self.class_names) - 1}.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def present(self) -> NDArray[np.bool_]:
        """(n) whether each image has a class."""
        return self.labels >= 0

    @cached_property
    def strata(self) -> NDArray[np.int64]:
        """(n) the classes; images without one are shared out as if they had one of their own."""
        return np.where(self.present, self.labels, len(self.class_names)).astype(np.int64)

    def class_counts(self) -> NDArray[np.int64]:
        """(classes) how many images each class has."""
        return np.bincount(self.labels[self.present], minlength=len(self.class_names))

    def select(self, indices: NDArray[np.int64]) -> "ClassLabels":
        """Those of the images at `indices`, integers in any order."""
        return ClassLabels(self.labels[indices], self.class_names)

    def aligned(self, rows: NDArray[np.int64]) -> "ClassLabels":
        """Those of other images: (k) which image here each is, or -1 for one without a class."""
        return ClassLabels(np.append(self.labels, np.int32(-1))[rows], self.class_names)

    def through(self, index: int, _: Placement) -> "ClassLabels":
        """That of image `index` alone: the class, wherever the image lies in what was made of it."""
        return self.select(np.array([index]))

    def in_classes(self, class_names: tuple[str, ...]) -> "ClassLabels":
        """The same by another list of class names. Raises UsageError where a class with images is not among them."""
        if class_names == self.class_names:
            return self
        index_of = {name: index for index, name in enumerate(class_names)}
        for name, count in zip(self.class_names, self.class_counts().tolist(), strict=True):
            if count and name not in index_of:
                raise unknown_name(f"class ({count} images)", name, class_names)
        places = np.array([*(index_of.get(name, -1) for name in self.class_names), -1], np.int32)
        return ClassLabels(places[self.labels], class_names)

    def said(self, index: int) -> bytes:
        """The class's name; nothing without one. A name of a folder need not be UTF-8."""
        label = int(self.labels[index])
        return b"" if label < 0 else self.class_names[label].encode("utf-8", "surrogatepass")


def class_truth(labels: NDArray[np.integer], class_names: Sequence[str]) -> dict[str, Truth]:
    """The truth of images that are only classified: labels (n), index into `class_names`."""
    return {CLASSIFICATION: ClassLabels(labels.astype(np.int32, copy=False), tuple(class_names))}
