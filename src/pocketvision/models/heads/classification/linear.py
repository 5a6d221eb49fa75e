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
    """`logits` as they are, and `probabilities`, (N, classes), by postprocessing's scaling."""
    return {"logits": logits, "probabilities": torch.softmax(scaled(logits, postprocessing), dim=1)}


def scaled(logits: Tensor, postprocessing: Mapping[str, Any]) -> Tensor:
    """(N, classes) whose softmax are the probabilities: logits over postprocessing's `temperature` (1 where there is none), then
    times its `scales` plus its `offsets`, (classes) each, where it has them."""
    tempered: Tensor = logits / postprocessing.get("temperature", 1.0)
    if "scales" not in postprocessing:
        return tempered
    scales, offsets = (
        torch.as_tensor(postprocessing[name], dtype=logits.dtype, device=logits.device)
        for name in ("scales", "offsets")
    )
    found: Tensor = tempered * scales + offsets
    return found


ROW = Head("linear", "classification", (POOLED,), ("logits", "probabilities"), linear_head)
MULTISCALE = Head("multiscale_linear", "classification", (), ("logits", "probabilities"), linear_head)
GRID = Head("grid_linear", "classification", (), ("logits", "probabilities"), linear_head, grid_features)
