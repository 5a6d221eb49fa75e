"""A linear layer on the pooled features: for each tag a yes or no of its own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.models.features import POOLED, Feature
from pocketvision.models.heads.classification.linear import LinearHead
from pocketvision.models.heads.head import Head


class TagHead(nn.Module):
    """From one feature (N, channels) to logits (N, tags)."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        self.scores = LinearHead(features, classes, dropout)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`logits`."""
        scores: dict[str, Tensor] = self.scores(features)
        return scores

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`logits` as they are, and `probabilities`: sigmoids at postprocessing's `scales` and `offsets`, (tags) each."""
        logits = scaled = outputs["logits"]
        if "scales" in postprocessing:
            scales, offsets = (
                torch.tensor(postprocessing[name], dtype=logits.dtype, device=logits.device)
                for name in ("scales", "offsets")
            )
            scaled = logits * scales + offsets
        return {"logits": logits, "probabilities": torch.sigmoid(scaled)}


ROW = Head("linear_tags", "tags", (POOLED,), ("logits", "probabilities"), TagHead)
