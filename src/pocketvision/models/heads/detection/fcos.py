"""FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355): no anchors, but at every place of a feature pyramid the distances to
the four sides of the object that it lies in, how near its centre that is, and a score a class. The same numbers as torchvision's.

What ships is the root of the class's share times the centre-ness; that is what `logits` stand for, so that it learns as the
`grid` does: scores that say how well their boxes fit.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.anchors import corners_of_places
from pocketvision.models.heads.detection.fpn import FeaturePyramid, Levels, Tower
from pocketvision.models.heads.detection.grid import PRIOR, boxes_around, levels_of, shipped
from pocketvision.models.heads.head import Head

_SURE = -1e-7
"""A logarithm of a share of nearly 1, above which a logit would be infinite."""


class FcosHead(nn.Module):
    """From maps, the fine ones first, to `logits` (N, A, classes), `boxes` (N, A, 4) (left, top, right, bottom in pixels of the
    input) and `cells` (N, A, 3): the upper left corner of each place, x and y, and its side, in the same pixels.

    A: the places of the maps and of two coarser levels, 13,343 at 800 px on P3 to P7. Distances are in sides of the place; at
    those corners torchvision measures them from. Raises UsageError for features that are no maps and for no classes.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        del dropout  # the paper has none
        levels = Levels.of(features, classes)
        self.names = levels.names
        self.neck = FeaturePyramid(levels, from_backbone=False)
        self.classifier = Tower([("logits", classes, math.log(PRIOR / (1 - PRIOR)))], norms=True)
        self.regressor = Tower([("distances", 4, 0.0), ("centre", 1, 0.0)], norms=True)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; cells always in float32."""
        precision = next(self.parameters()).dtype
        levels = self.neck([features[name].to(precision) for name in self.names])
        sizes = [(int(each.shape[2]), int(each.shape[3])) for each in levels]
        places = torch.from_numpy(corners_of_places(sizes, self.neck.strides)).to(levels[0].device)
        cells = places.expand(levels[0].shape[0], -1, -1)
        logits, located = self.classifier(levels)["logits"], self.regressor(levels)
        distances = F.relu(located["distances"]) * cells[..., 2:]
        return {"logits": of_both(logits, located["centre"]), "boxes": boxes_around(cells, distances), "cells": cells}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` as they are, and `scores` in [0, 1], (N, A, classes)."""
        del postprocessing
        return shipped(outputs)


def of_both(one: Tensor, other: Tensor) -> Tensor:
    """The logits of the geometric mean of two shares, given by their logits."""
    share = ((F.logsigmoid(one) + F.logsigmoid(other)) / 2).clamp(max=_SURE)
    return share - torch.log(-torch.expm1(share))


ROW = Head("fcos", "detection", (), ("boxes", "scores"), FcosHead, levels_of)
