"""Boxes that several views of an image say, as one: weighted box fusion (Solovyev, Wang and Gabruseva 2021)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.decode import BOXES, decode, thresholds_of
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Detail
from pocketvision.tasks.turning import View

IOU = 0.55
"""From this overlap on two boxes of a class are of one object, as in the paper."""

LEAST = 0.001
"""The lowest score that is fused."""


def averaged(views: Sequence[View], task: TaskManifest, detail: Detail) -> Detections:
    """One answer of all views. An object's box is the mean of its boxes by their scores; its score is their mean, less where
    views that show its middle do not say it."""
    told = []
    for view in views:
        boxes = view.turn.boxes_back(view.tensors[BOXES], view.placement.input_size)
        low = replace(detail, min_score=LEAST)
        told += decode({**view.tensors, BOXES: boxes}, [view.placement], task, low)
    shown = [_part(view.placement) for view in views]
    fused_boxes, scores, classes = fused(told, shown)
    least = thresholds_of(task) if detail.min_score is None else np.full(len(task.labels), detail.min_score)
    said = np.flatnonzero(scores >= least[classes])
    best = said[np.argsort(-scores[said], kind="stable")][: detail.most]
    size = views[0].placement.image_size
    return Detections(task.labels, fused_boxes[best], scores[best], classes[best], size=size)


def fused(
    told: Sequence[Detections], shown: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """(k, 4) boxes, (k) scores and (k) classes of what each view says. shown: (4) which part of the image each shows."""
    boxes = np.concatenate([each.boxes for each in told])
    scores = np.concatenate([each.scores for each in told]).astype(np.float64)
    classes = np.concatenate([each.classes for each in told]).astype(np.int64)
    found: list[tuple[NDArray[np.float64], float, int]] = []
    for place in np.unique(classes).tolist():
        own = np.flatnonzero(classes == place)
        own = own[np.argsort(-scores[own], kind="stable")]
        found += [(box, score, place) for box, score in _of_class(boxes[own], scores[own], np.array(shown))]
    return (
        np.array([each[0] for each in found]).reshape(-1, 4),
        np.array([each[1] for each in found]),
        np.array([each[2] for each in found], np.int64),
    )


def _of_class(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], shown: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], float]]:
    """boxes: (n, 4), the highest score first."""
    sums, weights, counts = np.zeros((len(boxes), 4)), np.zeros(len(boxes)), np.zeros(len(boxes))
    objects = 0
    for box, score in zip(boxes, scores.tolist(), strict=True):
        at = objects
        if objects:
            overlaps = ious(box[None], sums[:objects] / weights[:objects, None])[0]
            best = int(overlaps.argmax())
            at = best if overlaps[best] > IOU else objects
        objects = max(objects, at + 1)
        sums[at] += score * box
        weights[at] += score
        counts[at] += 1
    means = sums[:objects] / np.maximum(weights[:objects, None], 1e-12)
    middles = (means[:, :2] + means[:, 2:]) / 2
    inside = (middles[:, None] >= shown[None, :, :2]).all(axis=2) & (middles[:, None] <= shown[None, :, 2:]).all(axis=2)
    views = np.maximum(inside.sum(axis=1), 1)
    agreed = weights[:objects] / counts[:objects] * np.minimum(counts[:objects], views) / views
    return list(zip(means, agreed.tolist(), strict=True))


def _part(placement: Placement) -> NDArray[np.float64]:
    width, height = placement.input_size
    part: NDArray[np.float64] = placement.boxes_to_image(np.array([[0.0, 0, width, height]]))[0]
    return part
