"""The mean of several networks' masks."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from pocketvision.models.heads.mean import MeanRow, at, given_head, mean_softmax


def _decoded(logits: Tensor, postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
    """`logits` as they are."""
    del postprocessing
    return {"logits": logits}


ROW = given_head("mean_of_masks", "segmentation", ("logits",), "logits", _decoded)


def _mean(
    said: Sequence[Mapping[str, Tensor]],
    postprocessing: Sequence[Mapping[str, Any]],
    places: Sequence[Sequence[int]],
    of: str,
) -> Tensor:
    """(N, classes, h, w), as fine as the finest."""
    del postprocessing  # masks have no temperature
    logits = [at(own["logits"], where) for own, where in zip(said, places, strict=True)]
    size = max((each.shape[2:] for each in logits), key=lambda side: side[0])
    same = [
        each if each.shape[2:] == size else F.interpolate(each, size=size, mode="bilinear", align_corners=False)
        for each in logits
    ]
    return mean_softmax(same, of)


MEAN = MeanRow(ROW.name, _mean)
