"""Which cell learns which object: task-aligned assignment (Feng et al. 2021, TOOD, section 3.2, https://arxiv.org/abs/2108.07755).

A cell is good for an object when what the network says there fits both in class and in place: its alignment is score^ALPHA *
IoU^BETA. Each object takes the best few of the cells whose centres lie in it, on the level for its size (as FCOS's, Tian et al.
2019, section 3.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pocketvision.training.detection.losses import pairwise_ious

ALPHA, BETA = 0.5, 6.0
MOST_CELLS = 13
"""Of one object. As in the paper, but for ALPHA, 1 there: with less of it cells of other scores than the best are tried too."""

AT_ONCE = 1 << 21
"""Pairs of an object and a cell that are looked at together, in some 100 MB: thousands of objects do not fill the memory."""

SIDES = 6.0
"""Of cells: how large the objects are, by the root of their areas, that a level is for. Each object has the level that it is
nearest to, in octaves."""

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
def assign(
    boxes: Tensor,
    scores: Tensor,
    cells: Tensor,
    objects: Tensor,
    classes: Tensor,
    crowd: Tensor,
    most: int = MOST_CELLS,
) -> Assignment:
    """boxes (A, 4), scores (A, classes) in [0, 1] and cells (A, 3: centre and side) as the head says them; objects (m, 4),
    classes (m) int64 and crowd (m) bool as truth does. All pixels are the input's. most: cells of an object; with 1 it is the
    best of those that learn it with more (YOLOv10's consistent metric), as far as two branches say the same.

    A cell that several objects want learns the one that it overlaps most. An object's best cell is to score its IoU, and the
    others less in proportion to their alignment (the paper's normalised t).
    """
    outside = torch.full((len(cells),), -1, dtype=torch.int64, device=cells.device)
    quality, ignored = torch.zeros_like(boxes[:, 0]), torch.zeros_like(outside, dtype=torch.bool)
    least, at_once = cells[:, 2].min() / 2, max(1, AT_ONCE // max(len(cells), 1))
    regions = objects[crowd]
    for start in range(0, len(regions), at_once):
        ignored |= _within(cells, regions[start : start + at_once], least).any(dim=0)
    numbers = torch.nonzero(~crowd)[:, 0]
    if len(numbers) == 0:
        return Assignment(outside, quality, ignored, quality)
    objects, classes = objects[numbers], classes[numbers]
    overlap, owner = torch.full_like(quality, -1.0), torch.zeros_like(outside)
    for start in range(0, len(objects), at_once):
        part = objects[start : start + at_once]
        overlaps = pairwise_ious(part, boxes)
        alignment = _alignment(scores[:, classes[start : start + at_once]].T, overlaps)
        near = _within(cells, part, least) & _on_level(cells, part)
        chosen = _best(torch.where(near, alignment + _LEAST, 0.0), most)
        found, place = torch.where(chosen, overlaps, -1.0).max(dim=0)
        owner = torch.where(found > overlap, place + start, owner)
        overlap = torch.maximum(found, overlap)
    taken = overlap >= 0
    overlap = overlap.clamp(min=0)
    alignment = _alignment(scores.gather(1, classes[owner][:, None])[:, 0], overlap)
    best_alignment, best_overlap = (_highest(each, owner, len(objects)) for each in (alignment, overlap))
    share = alignment / best_alignment.clamp(min=_LEAST)[owner]
    quality = torch.where(taken, share * best_overlap[owner], quality)
    return Assignment(torch.where(taken, numbers[owner], outside), quality, ignored & ~taken, share * taken)


def _alignment(scores: Tensor, overlaps: Tensor) -> Tensor:
    return scores**ALPHA * overlaps**BETA


def _highest(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """(count) of each object the highest of the values (A) >= 0 of its cells, 0 without one. owner: (A)."""
    return values.new_zeros(count).scatter_reduce_(0, owner, values, "amax")


def _within(cells: Tensor, objects: Tensor, least: Tensor) -> Tensor:
    """(m, A) whether a cell's centre lies in an object, which is taken to be at least as large as the finest cell: then there is
    one for each. least: half of that cell's side."""
    middles = (objects[:, :2] + objects[:, 2:]) / 2
    halves = ((objects[:, 2:] - objects[:, :2]) / 2).clamp(min=float(least))
    return ((cells[None, :, :2] - middles[:, None]).abs() <= halves[:, None]).all(dim=2)


def _on_level(cells: Tensor, objects: Tensor) -> Tensor:
    """(m, A) whether a cell is of the level for objects of this size.

    Else the level whose first boxes happen to fit learns an object, and neighbours of 50 pixels share cells of 32. Kept to
    levels, blood cells that touch came from an AP50 of 0.83 to 0.85.
    """
    sizes = (objects[:, 2:] - objects[:, :2]).clamp(min=1).prod(dim=1).sqrt()
    apart = torch.log2(sizes[:, None] / (SIDES * cells[None, :, 2])).abs()
    return apart <= apart.amin(dim=1, keepdim=True)


def _best(alignment: Tensor, most: int) -> Tensor:
    """(m, A) the `most` highest of each row that are above 0."""
    values, places = alignment.topk(min(most, alignment.shape[1]), dim=1)
    return torch.zeros_like(alignment, dtype=torch.bool).scatter_(1, places, values > 0)
