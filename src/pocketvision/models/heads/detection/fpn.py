"""A feature pyramid network: every map told what the coarser ones see (Lin et al. 2017, https://arxiv.org/abs/1612.03144), and
the towers that are shared by its levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.features import Feature

WIDTH = 256
DEPTH = 4
"""Convolutions of a tower (RetinaNet, section 4; FCOS, section 3.2)."""

GROUPS = 32

NORM_EPSILON = 1e-5

EXTRA = 2
"""Levels after the backbone's: P6 and P7 where its last is P5."""


@dataclass(frozen=True)
class Levels:
    """Maps to read, with their channels and strides."""

    names: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, features: tuple[Feature, ...], classes: int) -> "Levels":
        """Raises UsageError for features that are no maps and for no classes."""
        if classes < 1:
            raise UsageError(f"A detector needs at least 1 class, not {classes}.")
        strides = [each.stride for each in features if each.stride is not None]
        if not strides or len(strides) < len(features):
            named = ", ".join(each.name for each in features)
            raise UsageError(
                f"A feature pyramid reads maps; it was given {named or 'nothing'}. Take stride8, stride16, stride32."
            )
        return cls(tuple(each.name for each in features), tuple(each.channels for each in features), tuple(strides))


class FeaturePyramid(nn.Module):
    """Maps of a backbone, the fine ones first, to as many and EXTRA coarser ones of WIDTH channels each, without norms.

    strides: of what comes out, input pixels a pixel; an extra level has twice the stride of the one before it. from_backbone: the
    first extra level reads the backbone's last map, as in RetinaNet's paper, not what the pyramid makes of it, as in FCOS's.
    """

    def __init__(self, levels: Levels, *, from_backbone: bool) -> None:
        super().__init__()
        last = levels.strides[-1]
        self.strides = (*levels.strides, *(last * 2**step for step in range(1, EXTRA + 1)))
        self.from_backbone = from_backbone
        conv = partial(ConvNormAct, padding="symmetric", norm_epsilon=0.0, activation=None)
        self.lateral = nn.ModuleList(conv(channels, WIDTH, 1) for channels in levels.channels)
        self.smooth = nn.ModuleList(conv(WIDTH, WIDTH, 3) for _ in levels.channels)
        first = levels.channels[-1] if from_backbone else WIDTH
        self.extra = nn.ModuleList(conv(channels, WIDTH, 3, stride=2) for channels in (first, WIDTH))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, channels, h, w) each to (N, WIDTH, h, w) each."""
        levels = _told(self.lateral, self.smooth, maps)
        beyond, further = self.extra
        levels.append(beyond(maps[-1] if self.from_backbone else levels[-1]))
        levels.append(further(F.relu(levels[-1])))
        return levels


class PooledPyramid(nn.Module):
    """Maps of a backbone, the fine ones first, to as many and a coarser one of WIDTH channels each: every other pixel of the last
    (Lin et al. 2017, section 4.1, for the proposals alone). normed: batch norms in place of biases."""

    def __init__(self, levels: Levels, *, normed: bool) -> None:
        super().__init__()
        self.strides = (*levels.strides, 2 * levels.strides[-1])
        conv = partial(ConvNormAct, padding="symmetric", norm_epsilon=NORM_EPSILON if normed else 0.0, activation=None)
        self.lateral = nn.ModuleList(conv(channels, WIDTH, 1) for channels in levels.channels)
        self.smooth = nn.ModuleList(conv(WIDTH, WIDTH, 3) for _ in levels.channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, channels, h, w) each to (N, WIDTH, h, w) each."""
        levels = _told(self.lateral, self.smooth, maps)
        return [*levels, F.max_pool2d(levels[-1], 1, stride=2)]


def _told(lateral: nn.ModuleList, smooth: nn.ModuleList, maps: Sequence[Tensor]) -> list[Tensor]:
    """Each map with what the coarser ones see."""
    told = [own(each) for own, each in zip(lateral, maps, strict=True)]
    for place in reversed(range(len(told) - 1)):
        told[place] = told[place] + F.interpolate(told[place + 1], size=told[place].shape[2:], mode="nearest")
    return [own(each) for own, each in zip(smooth, told, strict=True)]


class Tower(nn.Module):
    """DEPTH 3x3 convolutions with ReLU, and what is said of every place; all levels share them.

    outputs: numbers of a place by name, each made by a convolution of its own of the same tower; `bias` is what it begins at.
    norms: group norms after the convolutions, which then have a bias only where `biased` asks for it.
    """

    def __init__(self, outputs: Sequence[tuple[str, int, float]], *, norms: bool, biased: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(DEPTH):
            layers.append(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=biased))
            layers += [nn.GroupNorm(GROUPS, WIDTH)] if norms else []
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers)
        self.said = nn.ModuleDict({name: nn.Conv2d(WIDTH, count, 3, padding=1) for name, count, _ in outputs})
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for name, _, begin in outputs:
            layer = self.said[name]
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            nn.init.constant_(layer.bias, begin)

    def forward(self, levels: Sequence[Tensor]) -> dict[str, Tensor]:
        """(N, WIDTH, h, w) each to (N, places of all levels, numbers) by name: level by level, row by row."""
        seen = [self.layers(level) for level in levels]
        return {
            name: torch.cat([layer(each).flatten(2).transpose(1, 2) for each in seen], dim=1)
            for name, layer in self.said.items()
        }
