"""One linear layer on pooled features of several stages: texture from the shallow ones beside what the deep ones know."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature
from pocketvision.models.heads.classification.linear import decoded
from pocketvision.models.heads.head import Head


class MultiscaleLinearHead(nn.Module):
    """From several features, (N, channels) each, side by side in their order, to logits (N, classes)."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"A classifier needs at least 1 class, not {classes}.")
        maps = [each.name for each in features if each.stride is not None]
        if maps:
            raise UsageError(f"A linear head reads pooled features; {maps[0]} is a map. Take pool:{maps[0]}.")
        self.names = tuple(each.name for each in features)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(sum(each.channels for each in features), classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`logits`, in the precision of the weights."""
        precision = self.linear.weight.dtype
        beside = [features[name] for name in self.names]
        joined = torch.cat([each if each.dtype == precision else each.to(precision) for each in beside], dim=1)
        return {"logits": self.linear(self.dropout(joined))}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        return decoded(outputs, postprocessing)


ROW = Head("multiscale_linear", "classification", (), ("logits", "probabilities"), MultiscaleLinearHead)
