"""The mean of several networks' tags."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pocketvision.models.heads.mean import MeanRow, at, given_head, mean_sigmoid
from pocketvision.models.heads.tags.linear import decoded

ROW = given_head("mean_of_tags", "tags", ("logits", "probabilities"), "logits", decoded)


def _mean(
    said: Sequence[Mapping[str, Tensor]],
    postprocessing: Sequence[Mapping[str, Any]],
    places: Sequence[Sequence[int]],
    of: str,
) -> Tensor:
    """(N, tags): each as honest as it shipped, with its scales and offsets."""
    each = zip(said, postprocessing, places, strict=True)
    return mean_sigmoid([at(_honest(own["logits"], numbers), where) for own, numbers, where in each], of)


def _honest(logits: Tensor, numbers: Mapping[str, Any]) -> Tensor:
    if "scales" not in numbers:
        return logits
    scales, offsets = (torch.tensor(numbers[name], dtype=logits.dtype) for name in ("scales", "offsets"))
    return logits * scales + offsets


MEAN = MeanRow(ROW.name, _mean)
