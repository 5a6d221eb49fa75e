"""The mean of several networks' numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pocketvision.models.heads.mean import MeanRow, given_head
from pocketvision.models.heads.number.linear import decoded

ROW = given_head("mean_of_numbers", "number", ("value", "standardised"), "standardised", decoded)


def _mean(
    said: Sequence[Mapping[str, Tensor]],
    postprocessing: Sequence[Mapping[str, Any]],
    places: Sequence[Sequence[int]],
    of: str,
) -> Tensor:
    """(N, 1), in the standard deviations of the first."""
    del places, of  # a number has no classes, and is no share
    scales = [float(each.get("scale", 1.0)) for each in postprocessing]
    offsets = [float(each.get("offset", 0.0)) for each in postprocessing]
    values = [own["standardised"] * scale + offset for own, scale, offset in zip(said, scales, offsets, strict=True)]
    return (torch.stack(values).mean(dim=0) - offsets[0]) / scales[0]


MEAN = MeanRow(ROW.name, _mean)
