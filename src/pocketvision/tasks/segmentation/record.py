"""What an image adds to the figures of segmentation: counts of its pixels, and the mask in small."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.boundary import boundary_counts
from pocketvision.tasks.segmentation.decode import LEAST, thresholds_of
from pocketvision.tasks.segmentation.logits import Logits, largest, softmax
from pocketvision.tasks.segmentation.truth import NOTHING, Mask, MaskLabels, in_parts, resized
from pocketvision.tasks.truth import Truth

BINS = 20
"""Of probabilities, for the question whether they are honest."""

LEVELS = 1000
"""Of the second class's probability where there are two, to choose thresholds by."""

_CERTAIN = 50.0
"""A difference of two logits beyond which their probabilities are 0 and 1."""

SMALL = 160
"""Pixels of the longer side of masks that are kept to be shown and compared."""


@dataclass(frozen=True)
class SmallMask:
    """shape: (height, width). data: the values, compressed."""

    shape: tuple[int, int]
    data: bytes

    @classmethod
    def of(cls, mask: Mask) -> "SmallMask":
        """Of a mask of any size."""
        height, width = mask.shape
        scale = min(1.0, SMALL / max(height, width))
        small = resized(mask, (max(1, round(width * scale)), max(1, round(height * scale))))
        return cls((small.shape[0], small.shape[1]), zlib.compress(small.tobytes(), 6))

    @property
    def mask(self) -> Mask:
        """The values again."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixels of which there is truth. confusion: (classes, classes + 1) by the true class and the one that was said, the last
    being none. borders: (classes, 4), see boundary_counts. honest: (BINS, 3) by probability of the class that was said: how
    many, the sum of their probabilities in thousandths, and how many are right. levels: (2, LEVELS) with two classes, by the
    true one and the second one's probability; else none of them, (2, 0)."""

    confusion: NDArray[np.int64]
    borders: NDArray[np.int64]
    honest: NDArray[np.int64]
    levels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SegmentationRecord:
    """said, there: small masks of the answer and of the truth. counts: see Counts. Both of the truth None where nobody said one.

    About 2 KB, 8 KB more with two classes.
    """

    said: SmallMask
    counts: Counts | None = None
    there: SmallMask | None = None


def record(outputs: Tensors, answer: Segmentation, truth: Truth | None, task: TaskManifest) -> SegmentationRecord:
    """Of one image, whose truth is by the task's labels. Raises ImageError where its mask can not be read any more."""
    del outputs
    assert answer.mask is not None and answer.logits is not None, "it was decoded here"
    said = SmallMask.of(answer.mask)
    if not isinstance(truth, MaskLabels):
        return SegmentationRecord(said)
    there = resized(truth.mask(0), answer.size)
    classes = len(task.labels)
    honest, levels = _by_probability(answer.logits, there, classes)
    counts = Counts(
        confusion(there, answer.mask, classes), boundary_counts(answer.mask, there, classes), honest, levels
    )
    return SegmentationRecord(said, counts, SmallMask.of(there))


def confusion(there: Mask, said: Mask, classes: int) -> NDArray[np.int64]:
    """(classes, classes + 1) pixels by truth and answer; what is said to be nothing is in the last column."""
    counts = np.zeros(classes * (classes + 1), np.int64)
    for rows in in_parts(there.shape):
        known = there[rows] != NOTHING
        columns = np.minimum(said[rows][known], classes).astype(np.int64)
        pairs = there[rows][known].astype(np.int64) * (classes + 1) + columns
        counts += np.bincount(pairs, minlength=len(counts))
    return counts.reshape(classes, classes + 1)


def _by_probability(logits: Logits, there: Mask, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    honest, two = np.zeros((BINS, 3), np.int64), classes == 2
    levels = np.zeros((2, LEVELS if two else 0), np.int64)
    down, across = logits.seen
    for rows, band in logits.bands():
        truth = there[rows]
        known = (truth != NOTHING) & down[rows, None] & across
        chances = softmax(band)
        said, best = largest(chances)
        place, best, right = np.minimum((best[known] * BINS).astype(np.int64), BINS - 1), best[known], said == truth
        honest[:, 0] += np.bincount(place, minlength=BINS)
        honest[:, 1] += np.rint(1000 * np.bincount(place, weights=best, minlength=BINS)).astype(np.int64)
        honest[:, 2] += np.bincount(place, weights=right[known], minlength=BINS).astype(np.int64)
        if two:
            level = np.minimum((chances[1][known] * LEVELS).astype(np.int64), LEVELS - 1)
            pairs = truth[known].astype(np.int64) * LEVELS + level
            levels += np.bincount(pairs, minlength=2 * LEVELS).reshape(2, LEVELS)
    return honest, levels


def levels_of(logits: Logits, there: Mask) -> NDArray[np.int64]:
    """(2, LEVELS) known pixels of an image of two classes, by the true one and the second one's probability."""
    levels = np.zeros(2 * LEVELS, np.int64)
    down, across = logits.seen
    for rows, band in logits.bands():
        truth = there[rows]
        known = (truth != NOTHING) & down[rows, None] & across
        apart = np.clip(band[1] - band[0], -_CERTAIN, _CERTAIN)[known]
        level = np.minimum((LEVELS / (1 + np.exp(-apart))).astype(np.int64), LEVELS - 1)
        levels += np.bincount(truth[known].astype(np.int64) * LEVELS + level, minlength=2 * LEVELS)
    return levels.reshape(2, LEVELS)


def decided(records: Sequence[SegmentationRecord], task: TaskManifest) -> list[SegmentationRecord]:
    """The same records of two classes, answered as `task` says now. The small masks and the borders stay as they were: they are
    not known at another threshold."""
    return [replace(each, counts=_at(each.counts, task)) for each in records]


def _at(counts: Counts | None, task: TaskManifest) -> Counts | None:
    if counts is None or not counts.levels.size:
        return counts
    first = second_from(task)
    said = np.stack([counts.levels[:, :first].sum(axis=1), counts.levels[:, first:].sum(axis=1)], axis=1)
    return replace(counts, confusion=np.concatenate([said, counts.confusion[:, 2:]], axis=1))


def second_from(task: TaskManifest) -> int:
    """The first of LEVELS at which the second of two classes is said."""
    kept = thresholds_of(task)
    first, second = (min(max(kept.get(name, 0.5), LEAST), 1 - LEAST) for name in task.labels)
    return round(second / (first + second) * LEVELS)
