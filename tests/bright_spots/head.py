"""The head of bright spots: how likely there is one in each cell, on two levels of a pyramid."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pocketvision.models.features import Feature
from pocketvision.models.heads.head import Head

LEVELS = {"fine": ("stride2", 2), "coarse": ("stride8", 8)}
"""The feature that each role is read from, and its stride."""


class SpotHead(nn.Module):
    """How likely there is a spot in each cell of each level: (N, h, w) logits."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        del classes, dropout
        self.levels = nn.ModuleDict(
            {
                role: nn.Sequential(nn.BatchNorm2d(each.channels), nn.Conv2d(each.channels, 1, 1))
                for role, each in zip(LEVELS, features, strict=True)
            }
        )

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {role: level(features[LEVELS[role][0]].float())[:, 0] for role, level in self.levels.items()}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        del postprocessing
        return {role: level.sigmoid() for role, level in outputs.items()}


HEAD = Head("two_levels", "spots", tuple(feature for feature, _ in LEVELS.values()), tuple(LEVELS), SpotHead)
