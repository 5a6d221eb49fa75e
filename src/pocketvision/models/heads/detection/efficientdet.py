"""EfficientDet (Tan, Pang & Le, 2020, https://arxiv.org/abs/1911.09070): a bidirectional pyramid, and two small nets that say of
nine anchors at every place of every level which object each shows and where that is off the anchor.

Compound scaling (section 4.2) makes all of it wider and deeper together: SCALES is the paper's table 1. Its backbones and input
sizes are those that the figures of the paper hold for; the heads read any backbone's pyramid, of any size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.anchors import PER_PLACE, anchors
from pocketvision.models.heads.detection.bifpn import KERNEL, Bifpn
from pocketvision.models.heads.detection.grid import PRIOR, levels_of
from pocketvision.models.heads.detection.norms_of_one import applied
from pocketvision.models.heads.detection.pan import Depthwise
from pocketvision.models.heads.detection.ssd import moved
from pocketvision.models.heads.head import Head


@dataclass(frozen=True)
class Scale:
    """A line of table 1.

    backbone: of the catalogue. input_size: pixels a side. width, repeats: channels and layers of the pyramid. depth: convolutions
    of the class and box nets. anchor: side of the smallest square anchor in strides of its level (the authors' code).
    """

    backbone: str
    input_size: int
    width: int
    repeats: int
    depth: int
    anchor: float = 4.0


SCALES: dict[str, Scale] = {
    "d0": Scale("efficientnet_b0", 512, 64, 3, 3),
    "d1": Scale("efficientnet_b1", 640, 88, 4, 3),
    "d2": Scale("efficientnet_b2", 768, 112, 5, 3),
    "d3": Scale("efficientnet_b3", 896, 160, 6, 4),
    "d4": Scale("efficientnet_b4", 1024, 224, 7, 4),
    "d5": Scale("efficientnet_b5", 1280, 288, 7, 4),
    "d6": Scale("efficientnet_b6", 1280, 384, 8, 5),
    "d7": Scale("efficientnet_b6", 1536, 384, 8, 5, anchor=5.0),
}

VARIANCES = 1.0, 1.0
"""An offset of 1 is a side of the anchor for the centre, and 1 for the logarithm of a side."""


class AnchorNet(nn.Module):
    """Numbers of every anchor: convolutions that all levels share, with norms that each has by itself, then swish.

    outputs: of an anchor. bias: what they begin at.
    """

    def __init__(self, width: int, depth: int, levels: int, outputs: int, bias: float) -> None:
        super().__init__()
        self.outputs = outputs
        self.depthwise = nn.ModuleList(Depthwise(width, KERNEL) for _ in range(depth + 1))
        self.pointwise = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(width, eps=1e-3) for _ in range(depth)) for _ in range(levels)
        )
        self.predict = nn.Conv2d(width, outputs * PER_PLACE, 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        assert self.predict.bias is not None
        nn.init.constant_(self.predict.bias, bias)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(N, width, h, w) each to (N, A, outputs) of all."""
        *inner, last = self.depthwise
        found = []
        for level, norms in zip(levels, self.norms, strict=True):
            assert isinstance(norms, nn.ModuleList)
            for depthwise, pointwise, norm in zip(inner, self.pointwise, norms, strict=True):
                level = F.silu(applied(norm, pointwise(depthwise(level))))
            said = self.predict(last(level)).permute(0, 2, 3, 1)  # (N, h, w, anchors * outputs)
            found.append(said.reshape(said.shape[0], -1, self.outputs))
        return torch.cat(found, dim=1)


class EfficientDetHead(nn.Module):
    """From maps, the fine ones first, to `anchor_logits` (N, A, classes), `anchor_offsets` (N, A, 4) and the `anchors` (N, A, 4)
    that they are of: centre and sides in the input's pixels.

    A: nine for each place of the maps and of two coarser levels, 49,104 at 512 px on P3 to P7. Raises UsageError for features
    that are no maps and for no classes.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float, scale: Scale) -> None:
        super().__init__()
        del dropout  # the paper's has none
        if classes < 1:
            raise UsageError(f"A detector needs at least 1 class, not {classes}.")
        strides = [each.stride for each in features if each.stride is not None]
        if not strides or len(strides) < len(features):
            named = ", ".join(each.name for each in features)
            raise UsageError(
                f"EfficientDet reads maps; it was given {named or 'nothing'}. Take stride8, stride16, stride32."
            )
        self.names, self.anchor = tuple(each.name for each in features), scale.anchor
        self.neck = Bifpn([each.channels for each in features], strides, scale.width, scale.repeats)
        net = partial(AnchorNet, scale.width, scale.depth, len(self.neck.strides))
        self.classifier = net(classes, math.log(PRIOR / (1 - PRIOR)))
        self.regressor = net(4, 0.0)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; anchors always in float32."""
        precision = self.regressor.predict.weight.dtype
        levels = self.neck([features[name].to(precision) for name in self.names])
        sizes = [(int(each.shape[2]), int(each.shape[3])) for each in levels]
        boxes = torch.from_numpy(anchors(sizes, self.neck.strides, self.anchor)).to(levels[0].device)
        return {
            "anchor_logits": self.classifier(levels),
            "anchor_offsets": self.regressor(levels),
            "anchors": boxes.expand(levels[0].shape[0], -1, -1),
        }

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` (N, A, 4), left, top, right and bottom in the input's pixels, and `scores` in [0, 1], (N, A, classes)."""
        del postprocessing
        return shipped(outputs)


def shipped(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`boxes` and `scores` of what the head gives to learn from."""
    return {
        "boxes": moved(outputs["anchors"], outputs["anchor_offsets"].float(), VARIANCES),
        "scores": torch.sigmoid(outputs["anchor_logits"].float()),
    }


ROWS = tuple(
    Head(
        f"efficientdet_{size}", "detection", (), ("boxes", "scores"), partial(EfficientDetHead, scale=scale), levels_of
    )
    for size, scale in SCALES.items()
)
