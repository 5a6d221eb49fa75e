"""A linear layer to one number, in standard deviations of those that are learned from."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pocketvision.models.features import POOLED, Feature
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.linear import LinearHead


def number_head(features: tuple[Feature, ...], classes: int, dropout: float) -> LinearHead:
    """To `standardised` (N, 1). There are no classes."""
    del classes
    return LinearHead(features, 1, dropout, role="standardised", decode=decoded)


def decoded(standardised: Tensor, postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
    """`value`, in the data's unit by postprocessing's `scale` and `offset`, and `standardised` as it is, (N, 1) each."""
    scale, offset = postprocessing.get("scale", 1.0), postprocessing.get("offset", 0.0)
    return {"value": standardised * scale + offset, "standardised": standardised}


ROW = Head("linear_number", "number", (POOLED,), ("value", "standardised"), number_head)
MULTISCALE = Head("multiscale_number", "number", (), ("value", "standardised"), number_head)
