"""A linear layer to one logit a tag: for each a yes or no of its own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.models.features import POOLED, Feature
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.linear import LinearHead


def tag_head(features: tuple[Feature, ...], tags: int, dropout: float) -> LinearHead:
    """To `logits` (N, tags). Raises UsageError for no tags."""
    if tags < 1:
        raise UsageError(f"What tags needs at least 1 tag, not {tags}.")
    return LinearHead(features, tags, dropout, role="logits", decode=decoded)


def decoded(logits: Tensor, postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
    """`logits` as they are, and `probabilities`: sigmoids at postprocessing's `scales` and `offsets`, (tags) each."""
    scaled = logits
    if "scales" in postprocessing:
        scales, offsets = (
            torch.as_tensor(postprocessing[name], dtype=logits.dtype, device=logits.device)
            for name in ("scales", "offsets")
        )
        scaled = logits * scales + offsets
    return {"logits": logits, "probabilities": torch.sigmoid(scaled)}


ROW = Head("linear_tags", "tags", (POOLED,), ("logits", "probabilities"), tag_head)
MULTISCALE = Head("multiscale_tags", "tags", (), ("logits", "probabilities"), tag_head)
