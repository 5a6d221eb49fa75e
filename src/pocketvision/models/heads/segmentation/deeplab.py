"""DeepLab: one map looked at by convolutions of several rates, and as a whole (Chen et al. 2017,
https://arxiv.org/abs/1706.05587, section 3.3); plus, in a slim form, a map of stride 4 beside what that says (Chen et al. 2018,
https://arxiv.org/abs/1802.02611, section 3.1)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct, PaddedConv2d
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.norms_of_one import applied
from pocketvision.models.heads.detection.pan import EPSILON, Separable, pointwise
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.segmentation.u_net import check_maps, pyramid_of
from pocketvision.models.spec import ModelSpec

WIDTH, SLIM = 256, 80
"""Channels: the paper's; of `deeplab_plus`, which has to learn on a CPU."""

FINE, FINE_WIDTH = 4, 24
"""The stride of the fine map, and what it is narrowed to, so that it does not outweigh the other."""

RATES = (6, 12, 18)
TORCHVISION_RATES = (12, 24, 36)
STRIDE = 16
"""The paper's rates at this stride: twice as many at 8, half as many at 32, which are the same pixels of the picture. torchvision
has twice as many at both."""

Branch = Callable[[int, int, int], nn.Module]
"""From channels in, channels out and the rate to what looks at a map by it."""


def rates_at(stride: int) -> tuple[int, ...]:
    """The paper's at this stride, at least 1."""
    return tuple(max(1, rate * STRIDE // stride) for rate in RATES)


def deepest(architecture: ModelSpec) -> tuple[str, ...]:
    """The last stage's map. Raises UsageError for a backbone without."""
    return pyramid_of(architecture)[-1:]


def fine_and_deepest(architecture: ModelSpec) -> tuple[str, ...]:
    """That of stride 4, or else the finest that is coarser, and the last stage's."""
    names = pyramid_of(architecture, tuple(sorted({FINE, 8, 16, 32})))
    return tuple(dict.fromkeys((names[0], names[-1])))


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 convolution, one of each rate and the mean over the map, side by side, mixed by a 1x1
    convolution to `width` channels."""

    def __init__(self, inputs: int, width: int, rates: tuple[int, ...], branch: Branch, dropout: float) -> None:
        super().__init__()
        self.point = pointwise(inputs, width)
        self.branches = nn.ModuleList(branch(inputs, width, rate) for rate in rates)
        self.pooled = pointwise(inputs, width)
        self.mixed = pointwise((2 + len(rates)) * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, level: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, width, h, w)."""
        # Added to nothing, not expanded: LiteRT repeats along the wrong sides.
        whole = applied(self.pooled, F.adaptive_avg_pool2d(level, 1)) + torch.zeros_like(level[:, :1])
        seen = [self.point(level), *(branch(level) for branch in self.branches), whole]
        output: Tensor = self.dropout(self.mixed(torch.cat(seen, dim=1)))
        return output


class DeepLabHead(nn.Module):
    """From the deepest map to `logits` (N, classes, h, w) at its stride. rates: None takes the paper's for that stride. Raises
    UsageError as check_maps, and for another number of maps than one."""

    def __init__(
        self, features: tuple[Feature, ...], classes: int, dropout: float, *, rates: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        check_maps(features, classes)
        if len(features) != 1:
            raise UsageError(f"DeepLab reads the deepest map alone, not {len(features)}.")
        (deep,) = features
        assert deep.stride is not None, "checked"
        self.name = deep.name
        self.pyramid = Pyramid(deep.channels, WIDTH, rates or rates_at(deep.stride), _full, dropout)
        self.block = _conv(WIDTH, WIDTH, 3)
        self.classes = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        level = features[self.name].to(self.classes.weight.dtype)
        return {"logits": self.classes(self.block(self.pyramid(level)))}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`logits` as they are."""
        del postprocessing
        return {"logits": outputs["logits"]}


class DeepLabPlusHead(nn.Module):
    """From a fine map and the deepest to `logits` (N, classes, h, w) at the fine one's stride, by depthwise convolutions.

    Raises UsageError as check_maps, and for more maps than two.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        check_maps(features, classes)
        if len(features) > 2:
            raise UsageError(f"DeepLab's decoder reads a fine map and the deepest, not {len(features)}.")
        fine, deep = features[0], features[-1]
        assert deep.stride is not None, "checked"
        self.names = fine.name, deep.name
        self.pyramid = Pyramid(deep.channels, SLIM, rates_at(deep.stride), _depthwise, dropout)
        self.narrow = pointwise(fine.channels, FINE_WIDTH)
        self.blocks = nn.Sequential(_depthwise(SLIM + FINE_WIDTH, SLIM, 1), Separable(SLIM))
        self.classes = nn.Conv2d(SLIM, classes, 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        fine, deep = (features[name].to(self.classes.weight.dtype) for name in self.names)
        grown = F.interpolate(self.pyramid(deep), size=fine.shape[2:], mode="bilinear", align_corners=False)
        return {"logits": self.classes(self.blocks(torch.cat([grown, self.narrow(fine)], dim=1)))}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`logits` as they are."""
        del postprocessing
        return {"logits": outputs["logits"]}


_conv = partial(ConvNormAct, padding="symmetric", norm_epsilon=EPSILON, activation="relu")


def _full(inputs: int, outputs: int, rate: int) -> nn.Module:
    return _conv(inputs, outputs, 3, dilation=rate)


def _depthwise(inputs: int, outputs: int, rate: int) -> nn.Module:
    depthwise = PaddedConv2d(inputs, inputs, 3, stride=1, groups=inputs, padding="symmetric", dilation=rate)
    return nn.Sequential(depthwise, pointwise(inputs, outputs))


ROW = Head("deeplab", "segmentation", (), ("logits",), DeepLabHead, deepest)
TORCHVISION = Head(
    "deeplab_torchvision", "segmentation", (), ("logits",), partial(DeepLabHead, rates=TORCHVISION_RATES), deepest
)
PLUS = Head("deeplab_plus", "segmentation", (), ("logits",), DeepLabPlusHead, fine_and_deepest)
