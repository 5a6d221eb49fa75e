"""FCN: a convolution of the deepest map, and a class for each of its places (Long et al. 2015, https://arxiv.org/abs/1411.4038,
in torchvision's form: on a dilated ResNet, without the paper's finer maps)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.features import Feature
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.segmentation.deeplab import deepest
from pocketvision.models.heads.segmentation.u_net import check_maps

NARROWER = 4
"""Channels of the map for one of the convolution's."""

_EPSILON = 1e-5


class FcnHead(nn.Module):
    """From the deepest map to `logits` (N, classes, h, w) at its stride. Raises UsageError as check_maps, and for another number
    of maps than one."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        check_maps(features, classes)
        if len(features) != 1:
            raise UsageError(f"FCN reads the deepest map alone, not {len(features)}.")
        (deep,) = features
        self.name, width = deep.name, max(1, deep.channels // NARROWER)
        self.block = ConvNormAct(deep.channels, width, 3, padding="symmetric", norm_epsilon=_EPSILON, activation="relu")
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Conv2d(width, classes, 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        level = features[self.name].to(self.classes.weight.dtype)
        return {"logits": self.classes(self.dropout(self.block(level)))}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`logits` as they are."""
        del postprocessing
        return {"logits": outputs["logits"]}


ROW = Head("fcn", "segmentation", (), ("logits",), FcnHead, deepest)
