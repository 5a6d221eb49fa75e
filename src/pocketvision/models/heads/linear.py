"""Dropout and one linear layer on pooled features: what a class, a tag and a number are read off."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature

Decode = Callable[[Tensor, Mapping[str, Any]], dict[str, Tensor]]
"""From what the layer puts out, (N, outputs), and the task's postprocessing to what ships, by role."""


class LinearHead(nn.Module):
    """From pooled features, (N, channels) each, side by side in their order, to `role`, (N, outputs).

    Raises UsageError for features that are maps. Several stages bring texture from the shallow ones beside what the deep know.
    """

    def __init__(
        self, features: tuple[Feature, ...], outputs: int, dropout: float, *, role: str, decode: Decode
    ) -> None:
        super().__init__()
        maps = [each.name for each in features if each.stride is not None]
        if maps:
            raise UsageError(f"A linear head reads pooled features; {maps[0]} is a map. Take pool:{maps[0]}.")
        self.names = tuple(each.name for each in features)
        self.role, self.decoded = role, decode
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(sum(each.channels for each in features), outputs)
        # Small and centred: a new classifier on pre-trained features begins near equal probabilities.
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights."""
        precision = self.linear.weight.dtype
        beside = [features[name] for name in self.names]
        beside = [each if each.dtype == precision else each.to(precision) for each in beside]
        joined = beside[0] if len(beside) == 1 else torch.cat(beside, dim=1)
        return {self.role: self.linear(self.dropout(joined))}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.decoded(outputs[self.role], postprocessing)
