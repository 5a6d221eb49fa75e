"""A path aggregation network: the levels of a pyramid told of each other, coarse to fine and back (Liu et al. 2018, PANet,
section 3.1), of depthwise convolutions and sums in place of full ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.blocks import ConvNormAct, PaddedConv2d
from pocketvision.models.gradients import DepthwiseConvolution
from pocketvision.models.spec import Activation

KERNEL = 5
"""Of depthwise convolutions: little dearer than 3, and what is seen grows twice as fast."""
EPSILON = 1e-5
ACTIVATION: Activation = "relu"


def pointwise(inputs: int, outputs: int) -> ConvNormAct:
    """A 1x1 convolution, norm and activation."""
    return ConvNormAct(inputs, outputs, 1, padding="symmetric", norm_epsilon=EPSILON, activation=ACTIVATION)


class Depthwise(PaddedConv2d):
    """A depthwise convolution: (N, channels, h, w) to (N, channels, ceil(h / stride), ceil(w / stride))."""

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, channels, kernel, stride=stride, groups=channels, padding="symmetric")

    def forward(self, input: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(input)
        # The same, with gradients that cost a CPU less.
        level, padding = self.padded(input)
        none = level.new_zeros(len(self.weight))
        learned: Tensor = DepthwiseConvolution.apply(level, self.weight, none, self.stride[0], padding)
        return learned


class Separable(nn.Module):
    """A depthwise convolution, then `pointwise`: (N, channels, h, w) to (N, channels, ceil(h / stride), ceil(w / stride))."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = Depthwise(channels, KERNEL, stride)
        self.pointwise = pointwise(channels, channels)

    def forward(self, level: Tensor) -> Tensor:
        output: Tensor = self.pointwise(self.depthwise(level))
        return output


class PathAggregation(nn.Module):
    """Maps of a backbone, the fine ones first, to as many and `extra` coarser ones of `width` channels each.

    channels: of the maps; strides: input pixels a pixel of each, each a multiple of the one before. An extra level has twice the
    stride of the one before it. `strides` are those of what comes out.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int, extra: int = 0) -> None:
        super().__init__()
        self.strides = (*strides, *(strides[-1] * 2**step for step in range(1, extra + 1)))
        self.lateral = nn.ModuleList(pointwise(each, width) for each in channels)
        self.extra = nn.ModuleList(Separable(width, 2) for _ in range(extra))
        steps = [coarse // fine for fine, coarse in zip(self.strides, self.strides[1:], strict=False)]
        self.finer = nn.ModuleList(Separable(width) for _ in steps)
        self.down = nn.ModuleList(Separable(width, step) for step in steps)
        self.coarser = nn.ModuleList(Separable(width) for _ in steps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, channels, h, w) each to (N, width, h, w) each."""
        levels = [lateral(each) for lateral, each in zip(self.lateral, maps, strict=True)]
        for down in self.extra:
            levels.append(down(levels[-1]))
        for place in reversed(range(len(levels) - 1)):
            above = F.interpolate(levels[place + 1], size=levels[place].shape[2:], mode="nearest")
            levels[place] = self.finer[place](levels[place] + above)
        for place, down in enumerate(self.down):
            levels[place + 1] = self.coarser[place](levels[place + 1] + down(levels[place]))
        return levels
