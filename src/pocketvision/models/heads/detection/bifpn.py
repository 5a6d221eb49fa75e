"""A bidirectional feature pyramid with weighted sums: the levels are told of each other, coarse to fine and back, several times
(Tan, Pang & Le, 2020, EfficientDet, section 3, https://arxiv.org/abs/1911.09070)."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.heads.detection.norms_of_one import applied
from pocketvision.models.heads.detection.pan import Depthwise

EPSILON = 1e-4
"""Of fast normalised fusion, so that weights that are all 0 divide nothing by 0."""

KERNEL = 3
EXTRA = 2
"""Levels after the backbone's: P6 and P7 where its last is P5."""

norm_conv = partial(ConvNormAct, kernel=1, padding="symmetric", norm_epsilon=1e-3, activation=None)
"""A 1x1 convolution and a norm, from so many channels to so many."""


class Fusion(nn.Module):
    """Fast normalised fusion (section 3.3): the sum of maps, each times its weight's share, weights being at least 0."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """As many maps (N, channels, h, w) as there are weights, to one."""
        weights = F.relu(self.weights)
        shares = weights / (weights.sum() + EPSILON)
        return torch.stack([share * each for share, each in zip(shares, maps, strict=True)]).sum(dim=0)


class Node(nn.Module):
    """What several maps say of a level: fused, then swish, a depthwise convolution, and a 1x1 one with its norm."""

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.fusion = Fusion(inputs)
        self.depthwise = Depthwise(width, KERNEL)
        self.pointwise = norm_conv(width, width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (N, width, h, w) to one of the same shape."""
        return applied(self.pointwise, self.depthwise(F.silu(self.fusion(maps))))


class BifpnLayer(nn.Module):
    """Once down and once back (figure 2d). steps: how many times a level's stride each next one's is.

    The finest and the coarsest level have one node, those between them two, of which the second sees the layer's input again.
    """

    def __init__(self, width: int, steps: Sequence[int]) -> None:
        super().__init__()
        self.finer = nn.ModuleList(Node(width, 2) for _ in steps)
        self.coarser = nn.ModuleList(Node(width, 2 if place == len(steps) else 3) for place in range(1, len(steps) + 1))
        self.down = nn.ModuleList(pool(step) for step in steps)

    def forward(self, maps: Sequence[Tensor], again: Sequence[Tensor]) -> list[Tensor]:
        """(N, width, h, w) each, the fine ones first, to the same shapes. again: what the way back is told of the same levels."""
        told = [*maps]
        for place in reversed(range(len(self.finer))):
            above = F.interpolate(told[place + 1], size=maps[place].shape[2:], mode="nearest")
            told[place] = self.finer[place]([maps[place], above])
        levels = told[:1]
        for place, node in enumerate(self.coarser, 1):
            middle = [] if place == len(self.coarser) else [told[place]]
            levels.append(node([again[place], *middle, self.down[place - 1](levels[-1])]))
        return levels


class Bifpn(nn.Module):
    """Maps of a backbone, the fine ones first, to as many and EXTRA coarser ones of `width` channels, through `repeats` layers.

    channels: of the maps; strides: input pixels a pixel of each. `strides` are those of what comes out. The first coarser level
    is the backbone's last map through a 1x1 convolution, pooled; every further one is pooled from that. A map that two nodes of
    the first layer read is narrowed for each of them by itself, as in the authors' code.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int, repeats: int) -> None:
        super().__init__()
        self.strides = (*strides, *(strides[-1] * 2**step for step in range(1, EXTRA + 1)))
        self.lateral = nn.ModuleList(norm_conv(each, width) for each in channels)
        self.again = nn.ModuleList(norm_conv(each, width) for each in channels[1:])
        self.coarsest = norm_conv(channels[-1], width)
        self.halved = pool(2)
        steps = [coarse // fine for fine, coarse in zip(self.strides, self.strides[1:], strict=False)]
        self.layers = nn.ModuleList(BifpnLayer(width, steps) for _ in range(repeats))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, channels, h, w) each to (N, width, h, w) each."""
        extra = [self.halved(applied(self.coarsest, maps[-1]))]
        while len(extra) < EXTRA:
            extra.append(self.halved(extra[-1]))
        levels = [*_each(self.lateral, maps), *extra]
        again = [levels[0], *_each(self.again, maps[1:]), *extra]
        for layer in self.layers:
            levels = layer(levels, again)
            again = levels
        return levels


def pool(step: int) -> nn.MaxPool2d:
    """Of stride `step`, an even number, to ceil(side / step), by windows that overlap; 3 x 3 with a step of 2."""
    return nn.MaxPool2d(step + 1, step, padding=step // 2)


def _each(modules: nn.ModuleList, maps: Sequence[Tensor]) -> list[Tensor]:
    return [applied(module, level) for module, level in zip(modules, maps, strict=True)]
