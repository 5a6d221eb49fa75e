"""DETR's training (Carion et al., 2020, https://arxiv.org/abs/2005.12872, section 3.1 and appendix A.2): which query answers for
which object, and what that costs."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from pocketvision.models.heads.detection.detr import corners
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.losses import giou_losses

CLASS_COST, PLACE_COST, OVERLAP_COST = 1.0, 5.0, 2.0
"""Of a pair of query and object, and of what is learned: the class, the L1 distance of the boxes, their GIoU."""

NOTHING_WEIGHT = 0.1
"""Of queries that are to say nothing, which are most of them."""

_IMPOSSIBLE = 1e9  # in place of a cost that is no number


def matched(shares: Tensor, boxes: Tensor, classes: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and objects, (k) int64 each, in pairs that cost least together (Kuhn, 1955): k is the fewer of both.

    shares: (Q, classes + 1), of each class and of nothing. boxes: (Q, 4), centre and sides in shares of the input. classes: (m)
    int64; objects: (m, 4) as the boxes.
    """
    found: tuple[NDArray[np.int64], NDArray[np.int64]] = linear_sum_assignment(
        np.nan_to_num(costs(shares, boxes, classes, objects).cpu().numpy(), nan=_IMPOSSIBLE)
    )
    queries, own = (torch.from_numpy(each).to(boxes.device) for each in found)
    return queries, own


def costs(shares: Tensor, boxes: Tensor, classes: Tensor, objects: Tensor) -> Tensor:
    """(Q, m) of every pair (equation 1 and appendix A.2): -p of the object's class, the L1 distance, and 1 - GIoU, weighed."""
    places = (boxes[:, None] - objects[None]).abs().sum(dim=2)
    overlaps = giou_losses(corners(boxes)[:, None], corners(objects)[None])
    return CLASS_COST * -shares[:, classes] + PLACE_COST * places + OVERLAP_COST * overlaps


def detr_loss(outputs: Mapping[str, Tensor], truths: Sequence[BoxLabels]) -> dict[str, Tensor]:
    """`class`, `place` and `overlap`, with their weights, summed over the decoder's layers, each of which is matched by itself.

    outputs: what the head gives to learn from. truths: the objects of each image, in the input's pixels (BoxLabels.through). The
    class's is a mean over queries by weight; the others' sums are by the number of objects in the batch. Crowds and difficult
    objects are not asked for.
    """
    placed = [_objects(truth, sides) for truth, sides in zip(truths, outputs["sides"], strict=True)]
    layers = [(outputs["query_logits"], outputs["query_boxes"])]
    layers += zip(outputs["auxiliary_logits"].unbind(1), outputs["auxiliary_boxes"].unbind(1), strict=True)
    parts = [_of_layer(logits.float(), boxes.float(), placed) for logits, boxes in layers]
    return {name: torch.stack([each[name] for each in parts]).sum() for name in parts[0]}


def _of_layer(logits: Tensor, boxes: Tensor, placed: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """logits (N, Q, classes + 1), boxes (N, Q, 4); placed: of each image its objects' classes (m) and boxes (m, 4)."""
    nothing = logits.shape[2] - 1
    asked = torch.full(logits.shape[:2], nothing, dtype=torch.int64, device=logits.device)
    place, overlap, shares = logits.new_zeros(()), logits.new_zeros(()), logits.detach().softmax(dim=2)
    for image, (classes, objects) in enumerate(placed):
        queries, own = matched(shares[image], boxes[image].detach(), classes, objects)
        asked[image, queries] = classes[own]
        said, wanted = boxes[image, queries], objects[own]
        place = place + F.l1_loss(said, wanted, reduction="sum")
        overlap = overlap + giou_losses(corners(said), corners(wanted)).sum()
    weights = torch.ones(nothing + 1, device=logits.device)
    weights[nothing] = NOTHING_WEIGHT
    count = max(1, sum(len(classes) for classes, _ in placed))
    return {
        "class": CLASS_COST * F.cross_entropy(logits.flatten(0, 1), asked.flatten(), weights),
        "place": PLACE_COST * place / count,
        "overlap": OVERLAP_COST * overlap / count,
    }


def _objects(truth: BoxLabels, sides: Tensor) -> tuple[Tensor, Tensor]:
    """Classes (m) and boxes (m, 4), centre and sides in shares of the input, of the objects of one image that count."""
    row = truth.rows.row(0)
    counted = ~(row["crowd"] | row["difficult"])
    left_top, right_bottom = torch.from_numpy(row["boxes"][counted]).to(sides).chunk(2, dim=1)
    boxes = torch.cat([(left_top + right_bottom) / 2, right_bottom - left_top], dim=1) / sides.repeat(2)
    return torch.from_numpy(row["classes"][counted].astype(np.int64)).to(sides.device), boxes
