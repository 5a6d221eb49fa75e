"""Truth: what a person said about images for one task. An index of rows, as samples are; never the pixels."""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.ragged import Ragged

Strata = NDArray[np.int64] | Ragged
"""(n) a number for each image, or several where it holds several things that a split shares out: n rows with the column
`stratum`."""


class Truth(Protocol):
    """The truth of n images for one task. Some of them may lack it."""

    def __len__(self) -> int: ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every class in index order, those without images included; none where the task knows no classes."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(n) whether each image has this truth."""

    @property
    def strata(self) -> Strata:
        """Of n images, numbers from 0: what a split shares out evenly. Each is to be in training and in validation."""

    def class_counts(self) -> NDArray[np.int64]:
        """(classes) in how many images each class is."""

    def select(self, indices: NDArray[np.int64]) -> Self:
        """That of the images at `indices`, integers in any order."""

    def aligned(self, rows: NDArray[np.int64]) -> Self:
        """That of other images: (k) of which image here each is the same, or -1 for one that lacks this truth."""

    def through(self, index: int, placement: Placement) -> Self:
        """That of image `index` alone, in the pixels of what was made of it."""

    def in_classes(self, class_names: tuple[str, ...]) -> Self:
        """The same by another list of class names. Raises UsageError where a class with images is not among them."""

    def said(self, index: int) -> bytes:
        """All that was said of image `index`, by the names of the classes: nothing of one that lacks it. Two
        images with the same have the same truth."""


def together(parts: Sequence[Strata]) -> Ragged:
    """The strata of several tasks of the same images, each with numbers of its own: an image holds the things of all."""
    of_images, numbers, first = [], [], 0
    for part in parts:
        ragged = part if isinstance(part, Ragged) else Ragged(np.arange(len(part) + 1), {"stratum": part})
        own = ragged.columns["stratum"].astype(np.int64)
        of_images.append(np.repeat(np.arange(len(ragged)), ragged.lengths))
        numbers.append(own + first)
        first += int(own.max(initial=-1)) + 1
    images = np.concatenate(of_images)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(images, minlength=len(parts[0])))])
    return Ragged(offsets.astype(np.int64), {"stratum": np.concatenate(numbers)[np.argsort(images, kind="stable")]})
