"""The mean of several classifiers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pocketvision.models.heads.classification.linear import decoded, scaled
from pocketvision.models.heads.mean import MeanRow, at, given_head, mean_softmax

ROW = given_head("mean_of_classifiers", "classification", ("logits", "probabilities"), "logits", decoded)


def _mean(
    said: Sequence[Mapping[str, Tensor]],
    postprocessing: Sequence[Mapping[str, Any]],
    places: Sequence[Sequence[int]],
    of: str,
) -> Tensor:
    """(N, classes): each as honest as it shipped, by its own scaling."""
    each = zip(said, postprocessing, places, strict=True)
    return mean_softmax([at(scaled(own["logits"], numbers), where) for own, numbers, where in each], of)


MEAN = MeanRow(ROW.name, _mean)
