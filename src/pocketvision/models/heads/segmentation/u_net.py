"""A light U-Net decoder on any backbone's pyramid (after Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597).

Maps of the backbone are added, not stacked; blocks are depthwise convolutions with a sum around them; the coarsest map comes in
through a gate that the whole image opens, as in LR-ASPP (Howard et al. 2019, https://arxiv.org/abs/1905.02244, section 6.4).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature, features_of
from pocketvision.models.heads.detection.pan import Separable, pointwise
from pocketvision.models.heads.head import Head
from pocketvision.models.spec import ModelSpec

STRIDES = (4, 8, 16, 32)
WIDTHS = (48, 64, 128)
"""Channels at the strides that are decoded, the fine one first; the coarsest map is gated into the one before it."""

BLOCKS = 2
"""At each stride."""


def pyramid_of(architecture: ModelSpec, strides: tuple[int, ...] = STRIDES) -> tuple[str, ...]:
    """The features of those strides that the backbone has, or else its finest one that is coarser. Raises UsageError where it
    has no map at all."""
    declared = features_of(architecture)
    names = tuple(f"stride{stride}" for stride in strides if f"stride{stride}" in declared)
    if not names:
        raise UsageError(
            f"{architecture.name} has no map of a stride of {', '.join(map(str, strides))}, from which masks are made. Take "
            "another model."
        )
    return names


class UNetHead(nn.Module):
    """From maps, the fine ones first, to `logits` (N, classes, h, w) at the stride of the first.

    167,000 parameters on EfficientNet-Lite0 with 11 classes. transposed: learned up-sampling in place of bilinear. Raises
    UsageError for features that are no maps, and for fewer than 2 classes.
    """

    def __init__(
        self, features: tuple[Feature, ...], classes: int, dropout: float, *, transposed: bool = False
    ) -> None:
        super().__init__()
        del dropout  # norms and augmented views keep a convolutional head from learning by heart
        check_maps(features, classes)
        self.names = tuple(each.name for each in features)
        decoded = features[:-1] if len(features) > 1 else features
        widths = WIDTHS[-len(decoded) :] if len(decoded) <= len(WIDTHS) else (WIDTHS[0],) * (len(decoded) - 3) + WIDTHS
        coarsest, deep = features[-1].channels, widths[-1]
        self.lateral = nn.ModuleList(
            pointwise(each.channels, width) for each, width in zip(decoded, widths, strict=True)
        )
        self.blocks = nn.ModuleList(nn.Sequential(*(Residual(width) for _ in range(BLOCKS))) for width in widths)
        self.narrower = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        is_gated = len(features) > 1
        self.value = pointwise(coarsest, deep) if is_gated else None
        self.gate = nn.Conv2d(coarsest, deep, 1) if is_gated else None
        ratios = [_ratio(fine, coarse) for fine, coarse in pairwise(features)]
        sides = [*widths[:-1], deep][: len(ratios)]
        self.larger = nn.ModuleList(
            Transposed(width, ratio) if transposed else Bilinear() for width, ratio in zip(sides, ratios, strict=True)
        )
        self.classes = nn.Conv2d(widths[0], classes, 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        maps = [features[name].to(self.classes.weight.dtype) for name in self.names]
        level = self._deepest(maps)
        for place in reversed(range(len(self.narrower))):
            above = self._grown(place, self.narrower[place](level), maps[place])
            level = self.blocks[place](self.lateral[place](maps[place]) + above)
        return {"logits": self.classes(level)}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`logits` as they are: they become large where the image's size is known (tasks/segmentation/decode.py)."""
        del postprocessing
        return {"logits": outputs["logits"]}

    def _deepest(self, maps: Sequence[Tensor]) -> Tensor:
        if self.value is None or self.gate is None:
            alone: Tensor = self.blocks[-1](self.lateral[-1](maps[-1]))
            return alone
        opened = torch.sigmoid(self.gate(F.adaptive_avg_pool2d(maps[-1], 1)))
        above = self._grown(len(maps) - 2, self.value(maps[-1]) * opened, maps[-2])
        level: Tensor = self.blocks[-1](self.lateral[-1](maps[-2]) + above)
        return level

    def _grown(self, place: int, level: Tensor, finer: Tensor) -> Tensor:
        """As large as the finer map."""
        grown: Tensor = self.larger[place](level, finer)
        return grown


class Bilinear(nn.Module):
    """A map as large as another one."""

    def forward(self, level: Tensor, finer: Tensor) -> Tensor:
        return F.interpolate(level, size=finer.shape[2:], mode="bilinear", align_corners=False)


class Transposed(nn.Module):
    """A map as many times as large as a finer one is, by a learned filter a channel; cut where the finer one is smaller."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.filter = nn.ConvTranspose2d(channels, channels, ratio, ratio, groups=channels)

    def forward(self, level: Tensor, finer: Tensor) -> Tensor:
        height, width = finer.shape[2:]
        grown: Tensor = self.filter(level)[:, :, :height, :width]
        return grown


class Residual(nn.Module):
    """A depthwise convolution, 1x1, norm and activation, with the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable = Separable(channels)

    def forward(self, level: Tensor) -> Tensor:
        output: Tensor = level + self.separable(level)
        return output


def check_maps(features: tuple[Feature, ...], classes: int) -> None:
    """Raises UsageError for features that are no maps, and for fewer than 2 classes."""
    if classes < 2:
        raise UsageError(f"A mask tells at least 2 classes apart, the background among them, not {classes}.")
    pooled = [each.name for each in features if each.stride is None]
    if pooled or not features:
        raise UsageError(
            f"Masks are made from maps; {pooled[0] if pooled else 'nothing'} is none. Take stride4, stride8 …"
        )


def _ratio(fine: Feature, coarse: Feature) -> int:
    assert fine.stride is not None and coarse.stride is not None, "checked"
    return coarse.stride // fine.stride


ROW = Head("u_net", "segmentation", (), ("logits",), UNetHead, pyramid_of)
TRANSPOSED = Head("u_net_transposed", "segmentation", (), ("logits",), partial(UNetHead, transposed=True), pyramid_of)
