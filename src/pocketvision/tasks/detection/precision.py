"""Average precision and recall as COCO counts them: at ten overlaps, by size of the objects, at 101 points of recall."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.matching import IGNORED, IOUS, RIGHT, SIZES
from pocketvision.tasks.detection.record import Rows

POINTS = np.linspace(0, 1, 101)
"""Of recall, at which precision is averaged."""

MOST = (1, 10, 100)
"""Detections of a class in an image that recall is measured with."""

Weights = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Ranked:
    """The detections of one class in falling order of their scores, of equal ones in that of the images.

    states: (levels, d), a row for each IoU. image_of: (d). there: (n) objects of the class in each image that count.
    """

    scores: NDArray[np.float64]
    states: NDArray[np.uint8]
    image_of: NDArray[np.int64]
    there: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Rows, place: int, size: str = "all", most: int = MOST[-1]) -> "Ranked":
        """Of class `place`, with at most so many of an image."""
        row = list(SIZES).index(size)
        own = np.flatnonzero((rows.classes == place) & (rows.ranks < most))
        own = own[np.argsort(-rows.scores[own], kind="stable")]
        counted = (rows.object_classes == place) & ~rows.ignored[row]
        there = np.bincount(rows.object_image_of[counted], minlength=rows.images)
        return cls(rows.scores[own], rows.states[row][:, own], rows.image_of[own], there.astype(np.int64))

    def average_precisions(self, weights: Weights) -> NDArray[np.float64]:
        """(levels, resamples) the mean over POINTS of the highest precision at that recall or a higher one. NaN where no object
        counts. weights: (n, resamples), how often each image does."""
        objects = self.there @ weights
        found = np.where(objects > 0, 0.0, np.full((len(self.states), weights.shape[1]), np.nan))
        drawn = weights[self.image_of]
        said = None if (self.states == IGNORED).any() else drawn.cumsum(axis=0, dtype=np.int32)
        for level, states in enumerate(self.states):
            hits = np.flatnonzero(states == RIGHT)
            if len(hits) == 0:
                continue
            if said is None:
                before = np.where((states == IGNORED)[:, None], 0, drawn).cumsum(axis=0, dtype=np.int32)[hits]
            else:
                before = said[hits]
            right = drawn[hits].cumsum(axis=0, dtype=np.int32)
            precision = right / np.maximum(before, 1)
            precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
            # A hit stands for the points that it is the first to reach.
            gained = np.diff(_points_reached(right / np.maximum(objects, 1)), axis=0, prepend=0)
            found[level] += (precision * gained).sum(axis=0) / len(POINTS)
        return found

    @property
    def objects(self) -> int:
        """How many count."""
        return int(self.there.sum())

    def recalls(self) -> NDArray[np.float64]:
        """(levels) the share of the objects that is found; NaN without any."""
        return (self.states == RIGHT).sum(axis=1) / self.objects if self.objects else np.full(len(self.states), np.nan)

    def curve(self, level: int = 0) -> "Curve":
        """At one IoU."""
        counted = self.states[level] != IGNORED
        return Curve(self.scores[counted], self.states[level][counted] == RIGHT, self.objects)


@dataclass(frozen=True, eq=False)
class Curve:
    """What follows from taking the first 1, 2, ... d detections of a class. scores: (d) falling. is_right: (d). objects: that
    there are."""

    scores: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    objects: int

    @property
    def right(self) -> NDArray[np.int64]:
        """(d) how many of the first are."""
        counts: NDArray[np.int64] = self.is_right.cumsum()
        return counts

    @property
    def precision(self) -> NDArray[np.float64]:
        """(d)"""
        return self.right / np.arange(1, len(self.right) + 1)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(d)"""
        return self.right / max(self.objects, 1)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(d)"""
        return 2 * self.right / (np.arange(1, len(self.right) + 1) + self.objects)


def _points_reached(recall: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of POINTS are at most so much, to the last bit."""
    place = (recall * (len(POINTS) - 1) + 1e-9).astype(np.int64)
    return place + (POINTS[place] <= recall)


def average_precisions(rows: Rows, classes: int, size: str = "all") -> NDArray[np.float64]:
    """(classes, IoUs) of all images."""
    once = np.ones((rows.images, 1), np.int32)
    found = [Ranked.of(rows, place, size).average_precisions(once)[:, 0] for place in range(classes)]
    return np.array(found).reshape(classes, len(IOUS))


def average_recall(rows: Rows, classes: int, size: str = "all", most: int = MOST[-1]) -> float | None:
    """The mean over classes and overlaps; None where no object counts."""
    return mean(np.array([Ranked.of(rows, place, size, most).recalls() for place in range(classes)]))


def mean(figures: NDArray[np.float64]) -> float | None:
    """Of those that are defined; None where none is."""
    defined = figures[np.isfinite(figures)]
    return float(defined.mean()) if len(defined) else None
