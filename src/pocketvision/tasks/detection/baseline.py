"""What every detector must beat: an answer that never looks at the picture, of each class one box of the most frequent size at
the class's mean place. Numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import PocketVisionError
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.precision import average_precisions, mean
from pocketvision.tasks.detection.record import DetectionRecord, joined, record
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels, areas, within
from pocketvision.tasks.manifest import TaskManifest

STEP = 0.25
"""Of an octave: sides that differ by less, by a fifth, count as one size."""

Sizes = NDArray[np.integer]
"""(n, 2): width and height of each image in pixels."""


@dataclass(frozen=True, eq=False)
class ConstantBoxes:
    """Of k <= labels classes that have objects: boxes (k, 4), left, top, right, bottom in shares of an image's width and height;
    classes (k); scores (k), the share of the images that have one. labels: all classes' names."""

    labels: tuple[str, ...]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]

    def answer(self, size: tuple[int, int]) -> Detections:
        """Of any image of that width and height, in its pixels; the surest class first."""
        boxes = within(self.boxes * np.array([*size, *size], np.float64), size)
        order = np.argsort(-self.scores, kind="stable")
        order = order[areas(boxes[order]) > 0]
        return Detections(self.labels, boxes[order], self.scores[order], self.classes[order])


def constant_boxes(truth: BoxLabels, sizes: Sizes) -> ConstantBoxes:
    """From the images that are learned from. Crowds and difficult objects are not counted. Raises PocketVisionError where no
    object is left."""
    counted = ~truth.rows.columns["crowd"] & ~truth.rows.columns["difficult"]
    shares = truth.boxes / np.tile(np.asarray(sizes, np.float64), 2)[truth.images]
    boxes, classes, scores = [], [], []
    for place in range(len(truth.class_names)):
        own = counted & (truth.classes == place)
        if not own.any():
            continue
        centre = ((shares[own, :2] + shares[own, 2:]) / 2).mean(axis=0)
        half = _usual(shares[own, 2:] - shares[own, :2]) / 2
        boxes.append(np.concatenate([centre - half, centre + half]))
        classes.append(place)
        scores.append(len(np.unique(truth.images[own])) / max(int(truth.present.sum()), 1))
    if not boxes:
        raise PocketVisionError(f"None of the {len(truth)} images has any object, so there is no usual one.")
    return ConstantBoxes(truth.class_names, np.array(boxes), np.array(classes, np.int64), np.array(scores))


def records_of(baseline: ConstantBoxes, truth: BoxLabels, sizes: Sizes) -> list[DetectionRecord]:
    """What the baseline adds to the figures on each image of `truth` that somebody looked at; classes are its own."""
    truth, task = truth.in_classes(baseline.labels), TaskManifest(DETECTION, baseline.labels, {}, "")
    looked = np.flatnonzero(truth.present)
    return [
        record({}, baseline.answer((int(width), int(height))), truth.select(looked[[place]]), task)
        for place, (width, height) in enumerate(np.asarray(sizes)[looked].tolist())
    ]


@dataclass(frozen=True)
class BaselineFigures:
    """In [0, 1]; None where no object counts."""

    ap: float | None
    ap50: float | None


def figures(records: Sequence[DetectionRecord], classes: int) -> BaselineFigures:
    """Of at least one record, as a detector is measured (precision.py)."""
    found = average_precisions(joined(records), classes)
    return BaselineFigures(mean(found), mean(found[:, 0]))


def _usual(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of the sizes (m, 2) that are like the most frequent one; of equally frequent ones like the smallest."""
    steps = np.round(np.log2(sides) / STEP).astype(np.int64)
    kinds, of_kind, counts = np.unique(steps, axis=0, return_inverse=True, return_counts=True)
    del kinds
    usual: NDArray[np.float64] = np.median(sides[of_kind.reshape(-1) == counts.argmax()], axis=0)
    return usual
