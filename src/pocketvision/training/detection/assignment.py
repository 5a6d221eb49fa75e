"""Which cell learns which object: task-aligned assignment (Feng et al. 2021, TOOD, section 3.2, https://arxiv.org/abs/2108.07755).

A cell is good for an object when what the network says there fits both in class and in place: its alignment is score^ALPHA *
IoU^BETA. Each object takes the best few of the cells whose centres lie in it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pocketvision.training.detection.losses import pairwise_ious

ALPHA, BETA = 1.0, 6.0
MOST_CELLS = 13
"""Of one object. All three as the paper has them."""

_LEAST = 1e-9  # an alignment of nothing


@dataclass(frozen=True, eq=False)
class Assignment:
    """Of one image's A cells. objects: (A) int64, the object that each learns, -1 for none. quality: (A) float32 in [0, 1], the
    score that it is to have for the object's class, 0 without one. ignored: (A) bool, cells that nothing is asked of: those in
    crowds. share: (A) float32, its alignment as a share of the object's best, 1 there: what its box weighs."""

    objects: Tensor
    quality: Tensor
    ignored: Tensor
    share: Tensor


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, cells: Tensor, objects: Tensor, classes: Tensor, crowd: Tensor) -> Assignment:
    """boxes (A, 4), scores (A, classes) in [0, 1] and cells (A, 3: centre and side) as the head says them; objects (m, 4),
    classes (m) int64 and crowd (m) bool as truth does. All pixels are the input's.

    A cell that several objects want learns the one that it overlaps most. An object's best cell is to score its IoU, and the
    others less in proportion to their alignment (the paper's normalised t).
    """
    outside = torch.full((len(cells),), -1, dtype=torch.int64, device=cells.device)
    quality, ignored = torch.zeros_like(boxes[:, 0]), torch.zeros_like(outside, dtype=torch.bool)
    if crowd.any():
        ignored = _within(cells, objects[crowd]).any(dim=0)
    numbers = torch.nonzero(~crowd)[:, 0]
    if len(numbers) == 0:
        return Assignment(outside, quality, ignored, quality)
    objects, classes = objects[numbers], classes[numbers]
    overlaps = pairwise_ious(objects, boxes)
    alignment = scores[:, classes].T ** ALPHA * overlaps**BETA
    near = _within(cells, objects)
    chosen = _best(torch.where(near, alignment + _LEAST, 0.0))
    wanted = torch.where(chosen, overlaps, -1.0)
    overlap, owner = wanted.max(dim=0)
    taken = overlap >= 0
    mine = torch.zeros_like(chosen).scatter_(0, owner[None], taken[None])
    best_alignment = torch.where(mine, alignment, 0.0).amax(dim=1).clamp(min=_LEAST)
    best_overlap = torch.where(mine, overlaps, 0.0).amax(dim=1)
    share = alignment.gather(0, owner[None])[0] / best_alignment[owner]
    quality = torch.where(taken, share * best_overlap[owner], quality)
    return Assignment(torch.where(taken, numbers[owner], outside), quality, ignored & ~taken, share * taken)


def _within(cells: Tensor, objects: Tensor) -> Tensor:
    """(m, A) whether a cell's centre lies in an object, which is taken to be at least as large as the finest cell: then there is
    one for each."""
    least = cells[:, 2].min() / 2
    middles = (objects[:, :2] + objects[:, 2:]) / 2
    halves = ((objects[:, 2:] - objects[:, :2]) / 2).clamp(min=float(least))
    return ((cells[None, :, :2] - middles[:, None]).abs() <= halves[:, None]).all(dim=2)


def _best(alignment: Tensor) -> Tensor:
    """(m, A) the MOST_CELLS highest of each row that are above 0."""
    values, places = alignment.topk(min(MOST_CELLS, alignment.shape[1]), dim=1)
    return torch.zeros_like(alignment, dtype=torch.bool).scatter_(1, places, values > 0)
