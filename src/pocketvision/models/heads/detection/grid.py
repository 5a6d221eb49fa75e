"""An anchor-free detector on a pyramid: at each cell of each level the distances to the four sides of the object that it lies in,
and a score a class.

After FCOS (Tian et al. 2019) and TOOD (Feng et al. 2021, https://arxiv.org/abs/2108.07755): no anchor boxes, no centre-ness; a
score says how well its box fits. Distances are plain numbers, no distributions. What it learns from is training/detection.
"""

import math
from collections.abc import Callable, Mapping
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


class GridHead(nn.Module):
    """From maps, the fine ones first, to `logits` (N, A, classes), `boxes` (N, A, 4) (left, top, right, bottom in pixels of the
    input) and `cells` (N, A, 3): the centre of each cell, x and y, and its side, in the same pixels.

    A: the cells of all levels, the fine ones first, row by row. shared: one tower for scores and boxes instead of one each.
    Raises UsageError for features that are no maps and for no classes.
    """

    def __init__(
        self, features: tuple[Feature, ...], classes: int, *, width: int = WIDTH, extra: int = 0, shared: bool = False
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
        levels = range(len(self.neck.strides))
        self.box_towers = nn.ModuleList(_tower(width) for _ in levels)
        self.score_towers = nn.ModuleList() if shared else nn.ModuleList(_tower(width) for _ in levels)
        self.distances = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in levels)
        self.logits = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in levels)
        for layers, bias in (
            (self.distances, math.log(math.expm1(SIDE))),
            (self.logits, math.log(PRIOR / (1 - PRIOR))),
        ):
            for layer in layers:
                assert isinstance(layer, nn.Conv2d) and layer.bias is not None
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(layer.bias, bias)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        precision = next(self.parameters()).dtype
        levels = self.neck([features[name].to(precision) for name in self.names])
        boxes, logits, cells = [], [], []
        for place, (level, stride) in enumerate(zip(levels, self.neck.strides, strict=True)):
            located = self.box_towers[place](level)
            scored = self.score_towers[place](level) if self.score_towers else located
            distances = stride * F.softplus(_in_rows(self.distances[place](located)))
            own = _cells(level, stride).expand(level.shape[0], -1, -1)
            centres = own[..., :2]
            boxes.append(torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1))
            logits.append(_in_rows(self.logits[place](scored)))
            cells.append(own)
        return {"logits": torch.cat(logits, 1), "boxes": torch.cat(boxes, 1), "cells": torch.cat(cells, 1)}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` as they are, and `scores` in [0, 1], (N, A, classes)."""
        del postprocessing  # what becomes of them is for lists: tasks/detection/decode.py
        return {"boxes": outputs["boxes"], "scores": torch.sigmoid(outputs["logits"])}


def _tower(width: int) -> nn.Sequential:
    return nn.Sequential(*(Separable(width) for _ in range(DEPTH)))


def _in_rows(level: Tensor) -> Tensor:
    """(N, channels, h, w) to (N, h * w, channels)."""
    return level.flatten(2).transpose(1, 2)


def _cells(level: Tensor, stride: int) -> Tensor:
    """(1, h * w, 3) of a map (N, channels, h, w)."""
    height, width = level.shape[2:]
    x, y = ((torch.arange(side, dtype=level.dtype, device=level.device) + 0.5) * stride for side in (width, height))
    across, down = x.repeat(height), y.repeat_interleave(width)
    return torch.stack([across, down, torch.full_like(across, stride)], dim=-1)[None]


def _build(*, extra: int = 0, shared: bool = False) -> Build:
    def build(features: tuple[Feature, ...], classes: int, dropout: float) -> GridHead:
        del dropout  # norms and augmented views keep a convolutional head from learning by heart
        return GridHead(features, classes, extra=extra, shared=shared)

    return build


def _row(name: str, build: Build, chosen: Callable[[ModelSpec], tuple[str, ...]] = levels_of) -> Head:
    return Head(name, "detection", (), ("boxes", "scores"), build, chosen)


ROWS = (
    _row("grid", _build()),
    _row("grid_shared", _build(shared=True)),
    _row("grid_p2", _build(), partial(levels_of, strides=(4, *LEVELS))),
    _row("grid_p6", _build(extra=1)),
)
"""P3 to P5; with one tower; with P2, for small objects; with P6, for large inputs."""
