"""An anchor-free detector on a pyramid: at each cell of each level the distances to the four sides of the object that it lies in,
and a score a class.

After FCOS (Tian et al. 2019) and TOOD (Feng et al. 2021, https://arxiv.org/abs/2108.07755): no anchor boxes, no centre-ness; a
score says how well its box fits. Distances are plain numbers, no distributions. What it learns from is training/detection.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature, features_of
from pocketvision.models.heads.detection.pan import PathAggregation, Separable
from pocketvision.models.heads.head import Build, Head
from pocketvision.models.spec import ModelSpec

LEVELS = (8, 16, 32)
"""Strides of the pyramid: P3 to P5."""

WIDTH = 96
DEPTH = 2
"""Convolutions of a tower."""

PRIOR = 0.01
"""What all scores begin near, so that the many cells without an object do not drown the few with one (Lin et al. 2017, 3.3)."""

SIDE = 1.0
"""Distances begin near this many strides."""

SINGLE = "single_"
"""Before the roles of the branch that says each object once."""


def levels_of(architecture: ModelSpec, strides: tuple[int, ...] = LEVELS) -> tuple[str, ...]:
    """The features of those strides that the backbone has. Raises UsageError where it has none of them."""
    declared = features_of(architecture)
    names = tuple(f"stride{stride}" for stride in strides if f"stride{stride}" in declared)
    if not names:
        wanted = ", ".join(map(str, strides))
        raise UsageError(
            f"{architecture.name} has no map of a stride of {wanted}, which a detector looks at. Take another model."
        )
    return names


class Branch(nn.Module):
    """Scores and boxes at the cells of each level: by a tower each, or by one for both where `shared`."""

    def __init__(self, width: int, levels: int, classes: int, *, shared: bool) -> None:
        super().__init__()
        self.box_towers = nn.ModuleList(_tower(width) for _ in range(levels))
        self.score_towers = nn.ModuleList() if shared else nn.ModuleList(_tower(width) for _ in range(levels))
        self.distances = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in range(levels))
        self.logits = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in range(levels))
        for layers, bias in (
            (self.distances, math.log(math.expm1(SIDE))),
            (self.logits, math.log(PRIOR / (1 - PRIOR))),
        ):
            for layer in layers:
                assert isinstance(layer, nn.Conv2d) and layer.bias is not None
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(layer.bias, bias)

    def forward(self, levels: Sequence[Tensor], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(N, width, h, w) of each level to logits (N, A, classes) and distances to the four sides in pixels (N, A, 4)."""
        distances, logits = [], []
        for place, (level, stride) in enumerate(zip(levels, strides, strict=True)):
            located = self.box_towers[place](level)
            scored = self.score_towers[place](level) if self.score_towers else located
            distances.append(stride * F.softplus(_in_rows(self.distances[place](located))))
            logits.append(_in_rows(self.logits[place](scored)))
        return torch.cat(logits, 1), torch.cat(distances, 1)


class GridHead(nn.Module):
    """From maps, the fine ones first, to `logits` (N, A, classes), `boxes` (N, A, 4) (left, top, right, bottom in pixels of the
    input) and `cells` (N, A, 3): the centre of each cell, x and y, and its side, in the same pixels.

    A: the cells of all levels, the fine ones first, row by row. shared: one tower for scores and boxes instead of one each.
    one_to_one: a second branch beside the first, `single_logits` and `single_boxes`, which learns to say each object once (Wang
    et al. 2024, YOLOv10, section 3.1, https://arxiv.org/abs/2405.14458); it alone ships then, and it does not move the neck.
    Raises UsageError for features that are no maps and for no classes.
    """

    def __init__(
        self,
        features: tuple[Feature, ...],
        classes: int,
        *,
        width: int = WIDTH,
        extra: int = 0,
        shared: bool = False,
        one_to_one: bool = False,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"A detector needs at least 1 class, not {classes}.")
        strides = [each.stride for each in features if each.stride is not None]
        if len(strides) < len(features):
            pooled = next(each.name for each in features if each.stride is None)
            raise UsageError(f"A detector reads maps; {pooled} is pooled. Take stride8, stride16, stride32, or stages.")
        self.names = tuple(each.name for each in features)
        self.neck = PathAggregation([each.channels for each in features], strides, width, extra)
        levels = len(self.neck.strides)
        self.branch = Branch(width, levels, classes, shared=shared)
        self.single = Branch(width, levels, classes, shared=shared) if one_to_one else None

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        precision, strides = next(self.parameters()).dtype, self.neck.strides
        levels = self.neck([features[name].to(precision) for name in self.names])
        cells = torch.cat([_cells(level, stride) for level, stride in zip(levels, strides, strict=True)], 1)
        cells = cells.expand(levels[0].shape[0], -1, -1)
        logits, distances = self.branch(levels, strides)
        outputs = {"logits": logits, "boxes": boxes_around(cells, distances), "cells": cells}
        if self.single is not None:
            logits, distances = self.single([level.detach() for level in levels], strides)
            outputs |= {SINGLE + "logits": logits, SINGLE + "boxes": boxes_around(cells, distances)}
        return outputs

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` as they are, and `scores` in [0, 1], (N, A, classes), of the branch that ships."""
        del postprocessing  # what becomes of them is for lists: tasks/detection/decode.py
        return shipped(outputs)


def shipped(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`boxes` and `scores` of what the head gives to learn from."""
    own = SINGLE if SINGLE + "boxes" in outputs else ""
    return {"boxes": outputs[own + "boxes"], "scores": torch.sigmoid(outputs[own + "logits"])}


def _tower(width: int) -> nn.Sequential:
    return nn.Sequential(*(Separable(width) for _ in range(DEPTH)))


def _in_rows(level: Tensor) -> Tensor:
    """(N, channels, h, w) to (N, h * w, channels)."""
    return level.flatten(2).transpose(1, 2)


def boxes_around(cells: Tensor, distances: Tensor) -> Tensor:
    """(N, A, 4) left, top, right, bottom, from cells (N, A, 3) and the distances to the four sides (N, A, 4)."""
    centres = cells[..., :2]
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)


def _cells(level: Tensor, stride: int) -> Tensor:
    """(1, h * w, 3) of a map (N, channels, h, w)."""
    height, width = level.shape[2:]
    x, y = ((torch.arange(side, dtype=level.dtype, device=level.device) + 0.5) * stride for side in (width, height))
    across, down = (
        x.expand(height, width),
        y[:, None].expand(height, width),
    )  # repeats would fix the size in an exported graph
    return torch.stack([across, down, torch.full_like(across, float(stride))], dim=-1).flatten(0, 1)[None]


def _build(*, extra: int = 0, shared: bool = False, one_to_one: bool = False) -> Build:
    def build(features: tuple[Feature, ...], classes: int, dropout: float) -> GridHead:
        del dropout  # norms and augmented views keep a convolutional head from learning by heart
        return GridHead(features, classes, extra=extra, shared=shared, one_to_one=one_to_one)

    return build


def _row(name: str, build: Build, chosen: Callable[[ModelSpec], tuple[str, ...]] = levels_of) -> Head:
    return Head(name, "detection", (), ("boxes", "scores"), build, chosen)


ROWS = (
    _row("grid", _build()),
    _row("grid_shared", _build(shared=True)),
    _row("grid_p2", _build(), partial(levels_of, strides=(4, *LEVELS))),
    _row("grid_p6", _build(extra=1)),
    _row("grid_one_to_one", _build(one_to_one=True)),
)
"""P3 to P5; with one tower; with P2, for small objects; with P6, for large inputs; without suppression after it."""
