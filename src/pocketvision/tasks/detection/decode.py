"""From a graph's tensors to Detections: thresholds, non-maximum suppression, and the way back to the image's pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.nms import surviving
from pocketvision.tasks.detection.truth import areas, within
from pocketvision.tasks.manifest import THRESHOLDS, TaskManifest, Tensors
from pocketvision.tasks.task import Detail

BOXES, SCORES = "boxes", "scores"
"""The roles of the outputs: (N, A, 4) left, top, right, bottom in pixels of the input; (N, A, classes) in [0, 1]. A is fixed."""

THRESHOLD = 0.3
"""Of a class for which the bundle ships none."""

CANDIDATES = 3000
"""Boxes an image that go into the suppression at most, the highest scores."""

NMS = ("class", "any", "none")
"""Which boxes suppress each other: of one class, of any class, or none, where the network learned to say each object once."""


@dataclass(frozen=True)
class Suppression:
    """iou: of two boxes that overlap more, one stays; in [0, 1]. most: objects in an image. nms: one of NMS. cut: whether boxes
    end at the input's border before they suppress each other, as torchvision's and TensorFlow's do."""

    iou: float = 0.6
    most: int = 100
    nms: str = "class"
    cut: bool = False

    @classmethod
    def of(cls, task: TaskManifest) -> "Suppression":
        """As the bundle ships it. Raises ValueError for what is out of range."""
        names = ("iou", "most", "nms", "cut")
        iou, most, nms, cut = (task.postprocessing.get(name, getattr(cls, name)) for name in names)
        if not isinstance(iou, int | float) or not 0 <= iou <= 1:
            raise ValueError(f"iou is {str(iou)[:80]}; expected a number from 0 to 1")
        if not isinstance(most, int) or most < 1:
            raise ValueError(f"most is {str(most)[:80]}; expected a number from 1 on")
        if nms not in NMS:
            raise ValueError(f"nms is {str(nms)[:80]!r}; expected one of {', '.join(NMS)}")
        if not isinstance(cut, bool):
            raise ValueError(f"cut is {str(cut)[:80]}; expected true or false")
        return cls(float(iou), most, nms, cut)

    def places(
        self, boxes: NDArray[np.floating], scores: NDArray[np.floating], classes: NDArray[np.integer], most: int
    ) -> NDArray[np.int64]:
        """(k) of (n, 4), (n) and (n) those that stay, the highest score first, at most so many."""
        most = min(most, self.most)
        if self.nms == "none":
            return np.argsort(-scores, kind="stable")[:most]
        return surviving(boxes, scores, classes if self.nms == "class" else None, iou=self.iou, most=most)


def decode(outputs: Tensors, placements: Sequence[Placement], task: TaskManifest, detail: Detail) -> list[Detections]:
    """One answer for each of N inputs. detail's min_score takes the place of the thresholds that ship, and its `most` bounds
    theirs. Scores and boxes that are no numbers are no objects; what lies beside the image is none either."""
    thresholds, suppression = thresholds_of(task), Suppression.of(task)
    if detail.min_score is not None:
        thresholds = np.full(len(task.labels), detail.min_score)
    return [
        _found(boxes, scores, placement, thresholds.astype(np.float32), suppression, detail.most, task.labels)
        for boxes, scores, placement in zip(outputs[BOXES], outputs[SCORES], placements, strict=True)
    ]


def _found(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    placement: Placement,
    thresholds: NDArray[np.float32],
    suppression: Suppression,
    most: int,
    labels: tuple[str, ...],
) -> Detections:
    anchors, classes = np.nonzero(scores >= thresholds)
    values, found = scores[anchors, classes], boxes[anchors]
    if len(values) > CANDIDATES:
        best = np.argsort(-values, kind="stable")[:CANDIDATES]
        found, classes, values = found[best], classes[best], values[best]
    inside = np.zeros((len(found), 4))
    real = np.isfinite(found).all(axis=1) & (found[:, 2:] > found[:, :2]).all(axis=1)
    inside[real] = within(placement.boxes_to_image(found[real].astype(np.float64)), placement.image_size)
    real &= areas(inside) > 0
    found, inside, classes, values = found[real], inside[real], classes[real], values[real]
    # They suppress each other as the network said them, unless it was measured otherwise: cut at the border they overlap more.
    if suppression.cut:
        width, height = placement.input_size
        found = np.clip(found, 0, np.array([width, height, width, height], np.float32))
    stay = suppression.places(found, values, classes, most)
    return Detections(labels, inside[stay], values[stay], classes[stay], size=placement.image_size)


def thresholds_of(task: TaskManifest) -> NDArray[np.float64]:
    """(classes) that the bundle ships. Raises ValueError for what is no number in [0, 1], or of no class."""
    kept = task.postprocessing.get(THRESHOLDS, {})
    if not isinstance(kept, dict) or set(kept) - set(task.labels):
        raise ValueError(f"{THRESHOLDS} is {str(kept)[:80]}; expected one of each class")
    wrong = {name: each for name, each in kept.items() if not isinstance(each, int | float) or not 0 <= each <= 1}
    if wrong:
        raise ValueError(f"{THRESHOLDS} has {str(wrong)[:80]}; expected numbers from 0 to 1")
    return np.array([float(kept.get(name, THRESHOLD)) for name in task.labels])


def check(task: TaskManifest) -> None:
    """Raises ValueError for what a bundle can not say of a detector."""
    thresholds_of(task)
    Suppression.of(task)
