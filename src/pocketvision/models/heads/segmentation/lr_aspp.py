"""LR-ASPP: a coarse map with a gate that the whole image opens, and a fine one beside it (Howard et al. 2019,
https://arxiv.org/abs/1905.02244, section 6.4). It equals torchvision's LRASPPHead on the same maps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.features import HEAD_CONV, Feature, features_of
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.segmentation.u_net import check_maps
from pocketvision.models.spec import ModelSpec

CHANNELS = 128
FINE = 8
_EPSILON = 1e-5


def lr_aspp_features(architecture: ModelSpec) -> tuple[str, str]:
    """The map of stride 8, or the finest that is coarser; and what the last 1x1 convolution gives, or else the deepest map."""
    declared = features_of(architecture)
    maps = [each for name, each in declared.items() if name.startswith("stride") and each.stride is not None]
    fine = next((each for each in maps if each.stride is not None and each.stride >= FINE), maps[-1])
    return fine.name, HEAD_CONV if HEAD_CONV in declared else maps[-1].name


class LrAsppHead(nn.Module):
    """From a fine map and a coarse one to `logits` (N, classes, h, w) at the fine one's stride. Raises UsageError as
    check_maps, and for another number of maps than two."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        del dropout  # the paper has none
        check_maps(features, classes)
        if len(features) != 2:
            raise UsageError(f"LR-ASPP reads a fine map and a coarse one, not {len(features)}.")
        fine, coarse = features
        self.names = fine.name, coarse.name
        self.value = ConvNormAct(
            coarse.channels, CHANNELS, 1, padding="symmetric", norm_epsilon=_EPSILON, activation="relu"
        )
        self.gate = nn.Conv2d(coarse.channels, CHANNELS, 1, bias=False)
        self.of_fine = nn.Conv2d(fine.channels, classes, 1)
        self.of_coarse = nn.Conv2d(CHANNELS, classes, 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        fine, coarse = (features[name].to(self.gate.weight.dtype) for name in self.names)
        gated = self.value(coarse) * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(coarse, 1)))
        grown = F.interpolate(gated, size=fine.shape[2:], mode="bilinear", align_corners=False)
        return {"logits": self.of_fine(fine) + self.of_coarse(grown)}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`logits` as they are."""
        del postprocessing
        return {"logits": outputs["logits"]}


ROW = Head("lr_aspp", "segmentation", (), ("logits",), LrAsppHead, lr_aspp_features)
