"""Dropout and one linear layer on the pooled features: what every published classifier here ends in."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.features import POOLED, Feature
from pocketvision.models.heads.head import Head


class LinearHead(nn.Module):
    """From one feature (N, channels) to logits (N, classes)."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"A classifier needs at least 1 class, not {classes}.")
        (self.feature,) = features
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.feature.channels, classes)
        # Small and centred: a new classifier on pre-trained features begins near equal probabilities.
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`logits`, in the precision of the weights."""
        pooled = features[self.feature.name]
        if pooled.dtype != self.linear.weight.dtype:
            pooled = pooled.to(self.linear.weight.dtype)
        return {"logits": self.linear(self.dropout(pooled))}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        return decoded(outputs, postprocessing)


def decoded(outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
    """`logits` as they are, and `probabilities`, (N, classes), at postprocessing's temperature (1 where there is none)."""
    logits = outputs["logits"]
    scaled = logits / postprocessing.get("temperature", 1.0)
    return {"logits": logits, "probabilities": torch.softmax(scaled, dim=1)}


ROW = Head("linear", "classification", (POOLED,), ("logits", "probabilities"), LinearHead)
