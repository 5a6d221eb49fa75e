"""SSD's training (Liu et al., 2016, https://arxiv.org/abs/1512.02325, section 2.2): which default box answers for which object,
how far it is off, and hard negative mining."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketvision.models.heads.detection.ssd import VARIANCES
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import BoxLabels

LEAST_OVERLAP = 0.5
"""Intersection over union from which on a default box answers for an object."""

NEGATIVES = 3
"""Of the background, for each box that answers for an object: those that the network is most wrong about. An image without any
has as many: the paper, where none would count, learns nothing from backgrounds."""

AT_ONCE = 1 << 20
"""Pairs of a default box and an object that are looked at together: thousands of objects do not fill the memory."""

BACKGROUND, LEFT_OUT = -1, -2
"""In place of an object: none is there; and what is there was not counted, so that nothing is said about it."""


def matched(defaults: NDArray[np.floating], truth: BoxLabels) -> NDArray[np.int64]:
    """(A) which of the objects of one image each default box answers for, or BACKGROUND, or LEFT_OUT.

    defaults: (A, 4) left, top, right, bottom. Every object has the box that overlaps it best, the best pair first, so that no two
    share one, as long as any overlaps it at all; any other box has the object that it overlaps best, from LEAST_OVERLAP on.
    Crowds and difficult objects are not asked for: what lies in one by LEAST_OVERLAP is left out.
    """
    row = truth.rows.row(0)
    uncounted = row["crowd"] | row["difficult"]
    objects = np.flatnonzero(~uncounted)
    answers = np.full(len(defaults), BACKGROUND, np.int64)
    for part in _parts(np.flatnonzero(uncounted), len(defaults)):
        shared = ious(defaults, row["boxes"][part], row["crowd"][part])
        answers[(shared >= LEAST_OVERLAP).any(axis=1)] = LEFT_OUT
    highest = np.zeros(len(defaults))
    wishes: list[tuple[float, int, int]] = []
    for part in _parts(objects, len(defaults)):
        overlaps = ious(defaults, row["boxes"][part])
        best = overlaps.argmax(axis=1)
        overlap = overlaps[np.arange(len(defaults)), best]
        better = (overlap >= LEAST_OVERLAP) & (overlap > highest)
        answers[better], highest[better] = part[best[better]], overlap[better]
        first = overlaps.argmax(axis=0)
        wishes += zip((-overlaps[first, np.arange(len(part))]).tolist(), first.tolist(), part.tolist(), strict=True)
    for place, each in _own(defaults, row["boxes"], wishes):
        answers[place] = each
    return answers


def _parts(objects: NDArray[np.int64], boxes: int) -> list[NDArray[np.int64]]:
    """The objects, as many at a time as AT_ONCE allows with `boxes` default boxes."""
    step = max(1, AT_ONCE // max(boxes, 1))
    return [objects[start : start + step] for start in range(0, len(objects), step)]


def _own(
    defaults: NDArray[np.floating], boxes: NDArray[np.float64], wishes: list[tuple[float, int, int]]
) -> Iterator[tuple[int, int]]:
    """A default box for each object, with the object, the pair that overlaps most first. wishes: of each object its overlap with
    the box that overlaps it best, below 0, that box, and the object. One whose box is taken wishes for the best that is free."""
    free = np.ones(len(defaults), np.bool_)
    heapify(wishes)
    while wishes:
        overlap, place, each = heappop(wishes)
        if overlap >= 0:
            return
        if free[place]:
            free[place] = False
            yield place, each
            continue
        left = np.where(free, ious(defaults, boxes[each][None])[:, 0], 0.0)
        place = int(left.argmax())
        heappush(wishes, (-float(left[place]), place, each))


def corners_of(defaults: Tensor) -> NDArray[np.float32]:
    """(A, 4) left, top, right, bottom of centre and sides."""
    halves = defaults[:, 2:] / 2
    corners: NDArray[np.float32] = torch.cat([defaults[:, :2] - halves, defaults[:, :2] + halves], dim=1).cpu().numpy()
    return corners


def offsets_of(boxes: Tensor, defaults: Tensor, variances: tuple[float, float] = VARIANCES) -> Tensor:
    """(n, 4) what brings default boxes (n, 4), centre and sides, onto boxes (n, 4), left, top, right, bottom with an area: the
    reverse of the head's `moved`."""
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    across = (centres - defaults[:, :2]) / defaults[:, 2:] / variances[0]
    return torch.cat([across, (sides / defaults[:, 2:]).log() / variances[1]], dim=1)


def ssd_loss(outputs: Mapping[str, Tensor], truths: Sequence[BoxLabels]) -> dict[str, Tensor]:
    """`place` and `class`, as their sums over the batch by the number of boxes that answer for an object (equation 1).

    outputs: what the head gives to learn from. truths: the objects of each image, in the input's pixels (BoxLabels.through).
    """
    defaults = outputs["default_boxes"][0]
    corners = corners_of(defaults)
    answers = torch.from_numpy(np.stack([matched(corners, each) for each in truths])).to(defaults.device)
    logits, offsets = outputs["class_logits"].float(), outputs["offsets"].float()
    classes, places = torch.zeros_like(answers), logits.new_zeros(())
    for image, (own, truth) in enumerate(zip(answers, truths, strict=True)):
        positive = own >= 0
        if not positive.any():
            continue
        objects = own[positive].cpu().numpy()
        classes[image, positive] = torch.from_numpy(truth.classes[objects].astype(np.int64) + 1).to(classes.device)
        boxes = torch.from_numpy(truth.boxes[objects]).to(defaults)
        wanted = offsets_of(boxes, defaults[positive])
        places = places + F.smooth_l1_loss(offsets[image, positive], wanted, reduction="sum")
    losses = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none").view(answers.shape)
    counted = (answers >= 0) | hard_negatives(losses.detach(), answers)
    count = max(1, int((answers >= 0).sum()))
    return {"place": places / count, "class": losses[counted].sum() / count}


def hard_negatives(losses: Tensor, answers: Tensor) -> Tensor:
    """(N, A) the NEGATIVES boxes of the background, for each that answers for an object of its image (at least for one), whose
    losses (N, A) are the highest. answers: (N, A) as `matched` gives them."""
    ranked = losses.masked_fill(answers != BACKGROUND, -torch.inf)
    ranks = ranked.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    wanted = NEGATIVES * (answers >= 0).sum(dim=1, keepdim=True).clamp(min=1)
    return (ranks < wanted) & (answers == BACKGROUND)
