"""The truth of tags: which of them an image has, any number of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import unknown_name
from pocketvision.preprocessing import Placement

TAGS = "tags"
"""The task's name where it has no other."""


@dataclass(frozen=True, eq=False)
class TagLabels:
    """marks: (n, tags) whether an image has a tag, a byte each. present: (n) whether anybody said so; an image without any tag is
    an answer too. class_names: every tag in index order."""

    marks: NDArray[np.bool_]
    present: NDArray[np.bool_]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.marks.shape != (len(self.present), len(self.class_names)):
            expected = (len(self.present), len(self.class_names))
            raise ValueError(f"The marks have the shape {self.marks.shape}; expected {expected}, images and tags.")

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], class_names: tuple[str, ...]) -> "TagLabels":
        """From the places of each image's tags."""
        marks = np.zeros((len(rows), len(class_names)), np.bool_)
        for place, row in enumerate(rows):
            marks[place, list(row)] = True
        return cls(marks, np.ones(len(rows), np.bool_), class_names)

    def __len__(self) -> int:
        return len(self.present)

    @cached_property
    def strata(self) -> NDArray[np.int64]:
        """(n) each image's rarest tag, so that rare ones are shared out first; images without one are a stratum of their own.

        The first step of iterative stratification (Sechidis et al. 2011), once for all images.
        """
        rank = np.argsort(np.argsort(self.class_counts(), kind="stable"), kind="stable")
        ranked = np.where(self.marks, rank, len(rank))
        rarest = ranked.argmin(axis=1) if len(rank) else np.zeros(len(self), np.int64)
        return np.where(self.marks.any(axis=1), rarest, len(self.class_names)).astype(np.int64)

    def class_counts(self) -> NDArray[np.int64]:
        """(tags) how many images have each."""
        counts: NDArray[np.int64] = self.marks[self.present].sum(axis=0, dtype=np.int64)
        return counts

    def select(self, indices: NDArray[np.int64]) -> "TagLabels":
        """Those of the images at `indices`, integers in any order."""
        return replace(self, marks=self.marks[indices], present=self.present[indices])

    def aligned(self, rows: NDArray[np.int64]) -> "TagLabels":
        """Those of other images: (k) which image here each is, or -1 for one that nobody looked at."""
        nothing = np.zeros((1, len(self.class_names)), np.bool_)
        return replace(
            self, marks=np.concatenate([self.marks, nothing])[rows], present=np.append(self.present, False)[rows]
        )

    def through(self, index: int, _: Placement) -> "TagLabels":
        """That of image `index` alone: the tags are of the whole image, wherever it lies in what was made of it."""
        return self.select(np.array([index]))

    def in_classes(self, class_names: tuple[str, ...]) -> "TagLabels":
        """The same by another list of tags. Raises UsageError where a tag that images have is not among them."""
        if class_names == self.class_names:
            return self
        marks = np.zeros((len(self), len(class_names)), np.bool_)
        place_of = {name: place for place, name in enumerate(class_names)}
        for place, (name, count) in enumerate(zip(self.class_names, self.class_counts().tolist(), strict=True)):
            if name in place_of:
                marks[:, place_of[name]] = self.marks[:, place]
            elif count:
                raise unknown_name(f"tag ({count} images)", name, class_names)
        return TagLabels(marks, self.present, class_names)

    def said(self, index: int) -> bytes:
        """The names of its tags, sorted; nothing of an image that nobody looked at."""
        if not self.present[index]:
            return b""
        names = sorted(self.class_names[place] for place in np.flatnonzero(self.marks[index]).tolist())
        return b"tags:" + b"\0".join(name.encode("utf-8", "surrogatepass") for name in names)
