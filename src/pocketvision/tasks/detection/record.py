"""What an image adds to the figures of detection: its answers as they are measured, what they found, and what was there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.decode import thresholds_of
from pocketvision.tasks.detection.matching import ignored_by_size, match
from pocketvision.tasks.detection.truth import BoxLabels, areas
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.truth import Truth


@dataclass(frozen=True, eq=False)
class Objects:
    """The m objects that are there. boxes: (m, 4). classes: (m). crowd: (m). ignored: (sizes, m), see matching.match."""

    boxes: NDArray[np.float64]
    classes: NDArray[np.integer]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DetectionRecord:
    """found: k detections, as good as all that the network says, whatever the thresholds. said: (k) which of them are at or above
    the bundle's. there: what is, states, took: see matching.match; None of all three where nobody looked.

    About 90 bytes a detection and 50 an object.
    """

    found: Detections
    said: NDArray[np.bool_]
    there: Objects | None = None
    states: NDArray[np.uint8] | None = None
    took: NDArray[np.int64] | None = None


def record(outputs: Tensors, answer: Detections, truth: Truth | None, task: TaskManifest) -> DetectionRecord:
    """Of one image, whose truth is by the task's labels. answer: decoded at a low score (comparing.MEASURED)."""
    del outputs
    said = said_of(answer, task)
    if not isinstance(truth, BoxLabels):
        return DetectionRecord(answer, said)
    row = truth.rows.row(0)
    crowd = row["crowd"]
    ignored = ignored_by_size(row.get("areas", areas(row["boxes"])), crowd | row["difficult"])
    there = Objects(row["boxes"], row["classes"].astype(np.int64), crowd, ignored)
    states, took = match(answer, there.boxes, there.classes, crowd, ignored)
    return DetectionRecord(answer, said, there, states, took)


def said_of(found: Detections, task: TaskManifest) -> NDArray[np.bool_]:
    """(k) which are at or above the thresholds of their classes."""
    least = thresholds_of(task).astype(np.float32)[found.classes]
    said: NDArray[np.bool_] = found.scores >= least
    return said


def decided(records: Sequence[DetectionRecord], task: TaskManifest) -> list[DetectionRecord]:
    """The same records, answered as `task` says now."""
    return [replace(each, said=said_of(each.found, task)) for each in records]


@dataclass(frozen=True, eq=False)
class Rows:
    """Of n >= 1 images with truth, d detections and m objects in all. scores, classes, images, ranks, said: (d) each, the rank
    among the image's of its class, from 0. states: (sizes, IoUs, d). object_classes, object_images: (m). ignored: (sizes, m)."""

    images: int
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    image_of: NDArray[np.int64]
    ranks: NDArray[np.int64]
    said: NDArray[np.bool_]
    states: NDArray[np.uint8]
    object_classes: NDArray[np.int64]
    object_image_of: NDArray[np.int64]
    ignored: NDArray[np.bool_]


def joined(records: Sequence[DetectionRecord]) -> Rows:
    """One array of each, in the order of the images."""
    there, states = [each.there for each in records], [each.states for each in records]
    objects = [each for each in there if each is not None]
    known = [each for each in states if each is not None]
    assert len(objects) == len(known) == len(records), "they have truth"
    found = [each.found for each in records]
    classes = np.concatenate([each.classes for each in found]).astype(np.int64)
    image_of = np.repeat(np.arange(len(found)), [len(each) for each in found])
    return Rows(
        len(records),
        np.concatenate([each.scores for each in found]).astype(np.float64),
        classes,
        image_of,
        _ranks(image_of, classes),
        np.concatenate([each.said for each in records]),
        np.concatenate(known, axis=2),
        np.concatenate([each.classes for each in objects]),
        np.repeat(np.arange(len(objects)), [len(each.classes) for each in objects]),
        np.concatenate([each.ignored for each in objects], axis=1),
    )


def _ranks(image_of: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(d) how many of the image and the class are before each."""
    order = np.lexsort([classes, image_of])  # stable: in the order of the scores
    changed = np.flatnonzero(np.diff(image_of[order]) | np.diff(classes[order])) + 1
    starts = np.repeat(np.r_[0, changed], np.diff(np.r_[0, changed, len(order)]))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - starts
    return ranks
