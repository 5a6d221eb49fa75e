"""U-Net's expanding path (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597, figure 1): at each stride the map from below
grown by a learned filter, beside the backbone's, and two 3x3 convolutions over both. Its other half is models/u_net.py."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.convolutional import initialise_without_norms
from pocketvision.models.features import Feature, features_of
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.segmentation.u_net import check_maps
from pocketvision.models.spec import ModelSpec

EPSILON = 1e-5


def every_map(architecture: ModelSpec) -> tuple[str, ...]:
    """The deepest map of each stride, the fine ones first."""
    strides = dict.fromkeys(architecture.trunk_strides())
    return tuple(name for stride in strides if (name := f"stride{stride}") in features_of(architecture))


class PlainUNetHead(nn.Module):
    """From maps, the fine ones first, to `logits` (N, classes, h, w) at the stride of the first; widths are those of the maps.

    norms: batch norms after convolutions, which the paper did not have yet. dropout: of the deepest map, where there are none.
    Raises UsageError as check_maps.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float, *, norms: bool) -> None:
        super().__init__()
        check_maps(features, classes)
        self.names = tuple(each.name for each in features)
        self.dropout = nn.Dropout(0.0 if norms else dropout)
        self.larger = nn.ModuleList(_larger(fine, coarse) for fine, coarse in pairwise(features))
        self.blocks = nn.ModuleList(_two_convolutions(each.channels, norms) for each in features[:-1])
        self.classes = nn.Conv2d(features[0].channels, classes, 1)
        if not norms:
            self.apply(initialise_without_norms)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        maps = [features[name].to(self.classes.weight.dtype) for name in self.names]
        level: Tensor = self.dropout(maps[-1])
        for place in reversed(range(len(self.blocks))):
            height, width = maps[place].shape[2:]
            grown = self.larger[place](level)[:, :, :height, :width]
            level = self.blocks[place](torch.cat([maps[place], grown], dim=1))
        return {"logits": self.classes(level)}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`logits` as they are."""
        del postprocessing
        return {"logits": outputs["logits"]}


def _larger(fine: Feature, coarse: Feature) -> nn.ConvTranspose2d:
    """From a map to the size and the width of a finer one, or a little larger."""
    assert fine.stride is not None and coarse.stride is not None, "checked"
    ratio = coarse.stride // fine.stride
    return nn.ConvTranspose2d(coarse.channels, fine.channels, ratio, ratio)


def _two_convolutions(channels: int, norms: bool) -> nn.Sequential:
    """Over a backbone's map and a grown one beside it."""
    conv = partial(
        ConvNormAct, kernel=3, padding="symmetric", norm_epsilon=EPSILON if norms else 0.0, activation="relu"
    )
    return nn.Sequential(conv(2 * channels, channels), conv(channels, channels))


SMALL = Head("u_net_small", "segmentation", (), ("logits",), partial(PlainUNetHead, norms=True), every_map)
PAPER = Head(
    "u_net_paper",
    "segmentation",
    (),
    ("logits",),
    partial(PlainUNetHead, norms=False),
    every_map,
    "The paper's U-Net has 31 million weights and no norms: it needs hours where u_net_small needs minutes.",
)
