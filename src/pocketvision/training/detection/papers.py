"""Losses of heads that are exact to their papers, by what they put out to be learned from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.models.heads.detection import detr, efficientdet, faster_rcnn, ssd, yolo_v1
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.detr_loss import detr_loss
from pocketvision.training.detection.efficientdet_loss import efficientdet_loss
from pocketvision.training.detection.ssd_loss import ssd_loss
from pocketvision.training.detection.yolo_v1_loss import yolo_v1_loss
from pocketvision.training.learner import Outputs


@dataclass(frozen=True)
class Paper:
    """loss: its parts, from what the head puts out and the objects of each image, in the input's pixels. shipped: `boxes`
    (N, A, 4) and `scores` (N, A, classes), as in the graph that ships. once: whether each object is said once, so that nothing
    is to be suppressed."""

    loss: Callable[[Mapping[str, Tensor], Sequence[BoxLabels]], dict[str, Tensor]]
    shipped: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    once: bool = False


def _untrained(outputs: Mapping[str, Tensor], truth: Sequence[BoxLabels]) -> dict[str, Tensor]:
    del outputs, truth
    raise UsageError(f"A head of Faster R-CNN can not be trained here: {faster_rcnn.UNTRAINED}.")


PAPERS = {
    "class_logits": Paper(ssd_loss, ssd.shipped),
    "predictions": Paper(yolo_v1_loss, yolo_v1.shipped),
    "anchor_logits": Paper(efficientdet_loss, efficientdet.shipped),
    "query_logits": Paper(detr_loss, detr.shipped, once=True),
    "region_logits": Paper(_untrained, faster_rcnn.shipped),
}
"""By a role that no other head has."""


def paper_of(outputs: Outputs) -> Paper | None:
    """None for heads that learn by assignment.py and losses.py."""
    return next((paper for role, paper in PAPERS.items() if role in outputs), None)
