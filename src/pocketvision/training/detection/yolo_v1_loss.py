"""The loss of YOLO's first version (Redmon et al., 2016, https://arxiv.org/abs/1506.02640, equation 3): squared errors, of square
roots for the sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.models.heads.detection.yolo_v1 import BOXES, boxes_of
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import BoxLabels, areas

PLACE_WEIGHT, EMPTY_WEIGHT = 5.0, 0.5
"""Lambda of coordinates and of boxes without an object."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Of one image k cells that an object's centre lies in. rows, columns: (k) of the grid. objects: (k) places in the truth."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    objects: NDArray[np.int64]


def asked(truth: BoxLabels, grid: tuple[int, int], size: tuple[float, float]) -> Asked:
    """grid: height and width in cells. size: width and height of the input in pixels.

    A cell can answer for one object; of several that have their centres in it, for the largest. Crowds and difficult objects are
    not asked for, nor is what has its centre beside the grid.
    """
    row, (height, width) = truth.rows.row(0), grid
    centres = (row["boxes"][:, :2] + row["boxes"][:, 2:]) / 2 * np.array([width, height]) / np.array(size)
    columns, rows = np.floor(centres).astype(np.int64).reshape(-1, 2).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    objects = np.flatnonzero(inside & ~row["crowd"] & ~row["difficult"])
    objects = objects[np.argsort(-areas(row["boxes"][objects]), kind="stable")]
    cells = rows[objects] * width + columns[objects]
    _, first = np.unique(cells, return_index=True)
    objects = objects[first]
    return Asked(rows[objects], columns[objects], objects)


def yolo_v1_loss(outputs: Mapping[str, Tensor], truths: Sequence[BoxLabels]) -> dict[str, Tensor]:
    """`place`, `object`, `empty` and `class`: the mean over images of equation 3's sums, with their weights.

    outputs: what the head gives to learn from. truths: the objects of each image, in the input's pixels (BoxLabels.through). Of a
    cell's boxes the one that overlaps the object most answers for it, the first of equal ones; its confidence is to be that
    overlap, every other box's 0.
    """
    cells = outputs["predictions"].float()
    boxes, confidences, shares = boxes_of(cells, outputs["sides"])
    said = cells[..., : BOXES * 5].reshape(*cells.shape[:-1], BOXES, 5)
    height, width = cells.shape[1:3]
    empty = torch.ones_like(confidences, dtype=torch.bool)
    parts = {name: cells.new_zeros(()) for name in ("place", "object", "empty", "class")}
    for image, truth in enumerate(truths):
        size = (float(outputs["sides"][image, 0]), float(outputs["sides"][image, 1]))
        own = asked(truth, (height, width), size)
        if len(own.objects) == 0:
            continue
        at = (image, torch.from_numpy(own.rows), torch.from_numpy(own.columns))
        best, overlaps = _responsible(boxes[at], truth.boxes[own.objects])
        chosen = (*at, best)
        empty[chosen] = False
        wanted = _wanted(truth.boxes[own.objects], own, (height, width), size).to(cells)
        parts["place"] = parts["place"] + (said[chosen][:, :4] - wanted).square().sum()
        parts["object"] = parts["object"] + (confidences[chosen] - overlaps.to(cells)).square().sum()
        classes = torch.zeros_like(shares[at])
        classes[torch.arange(len(classes)), torch.from_numpy(truth.classes[own.objects].astype(np.int64))] = 1
        parts["class"] = parts["class"] + (shares[at] - classes).square().sum()
    parts["empty"] = confidences[empty].square().sum()
    weights = {"place": PLACE_WEIGHT, "object": 1.0, "empty": EMPTY_WEIGHT, "class": 1.0}
    return {name: weights[name] * part / len(truths) for name, part in parts.items()}


def _responsible(boxes: Tensor, objects: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Of each cell's boxes (k, BOXES, 4) which overlaps its object (k, 4) most, and by how much: (k) both."""
    said = boxes.detach().cpu().numpy()
    overlaps = np.stack([ious(own, each[None])[:, 0] for own, each in zip(said, objects, strict=True)])
    best = overlaps.argmax(axis=1)
    return torch.from_numpy(best), torch.from_numpy(overlaps[np.arange(len(best)), best])


def _wanted(boxes: NDArray[np.float64], own: Asked, grid: tuple[int, int], size: tuple[float, float]) -> Tensor:
    """(k, 4) centres within their cells, and square roots of the sides."""
    height, width = grid
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 * np.array([width, height]) / np.array(size)
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]) / np.array(size))
    return torch.from_numpy(np.concatenate([centres - np.stack([own.columns, own.rows], axis=1), sides], axis=1))
