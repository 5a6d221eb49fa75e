"""A linear layer to one logit a class: what every published classifier here ends in, and its twins on several stages."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.models.features import POOLED, Feature, grid_features
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.linear import LinearHead


def linear_head(features: tuple[Feature, ...], classes: int, dropout: float) -> LinearHead:
    """To `logits` (N, classes). Raises UsageError for no classes."""
    if classes < 1:
        raise UsageError(f"A classifier needs at least 1 class, not {classes}.")
    return LinearHead(features, classes, dropout, role="logits", decode=decoded)


def decoded(logits: Tensor, postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
    """`logits` as they are, and `probabilities`, (N, classes), at postprocessing's temperature (1 where there is none)."""
    scaled = logits / postprocessing.get("temperature", 1.0)
    return {"logits": logits, "probabilities": torch.softmax(scaled, dim=1)}


ROW = Head("linear", "classification", (POOLED,), ("logits", "probabilities"), linear_head)
MULTISCALE = Head("multiscale_linear", "classification", (), ("logits", "probabilities"), linear_head)
GRID = Head("grid_linear", "classification", (), ("logits", "probabilities"), linear_head, grid_features)
