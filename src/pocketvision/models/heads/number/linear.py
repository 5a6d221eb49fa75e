"""A linear layer on the pooled features to one number."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pocketvision.models.features import POOLED, Feature
from pocketvision.models.heads.classification.linear import LinearHead
from pocketvision.models.heads.head import Head


class NumberHead(nn.Module):
    """From one feature (N, channels) to a number (N, 1) in standard deviations of those that are learned from."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        del classes  # there are none
        self.scores = LinearHead(features, 1, dropout)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`standardised`."""
        return {"standardised": self.scores(features)["logits"]}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`value`, in the data's unit by postprocessing's `scale` and `offset`, and `standardised` as it is, (N, 1) each."""
        found = outputs["standardised"]
        return {
            "value": found * float(postprocessing.get("scale", 1.0)) + float(postprocessing.get("offset", 0.0)),
            "standardised": found,
        }


ROW = Head("linear_number", "number", (POOLED,), ("value", "standardised"), NumberHead)
