"""The mean of several classifiers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pocketvision.models.heads.classification.linear import decoded
from pocketvision.models.heads.mean import MeanRow, at, given_head, mean_softmax

ROW = given_head("mean_of_classifiers", "classification", ("logits", "probabilities"), "logits", decoded)


def _mean(
    said: Sequence[Mapping[str, Tensor]],
    postprocessing: Sequence[Mapping[str, Any]],
    places: Sequence[Sequence[int]],
    of: str,
) -> Tensor:
    """(N, classes): each as honest as it shipped, at its own temperature."""
    each = zip(said, postprocessing, places, strict=True)
    return mean_softmax(
        [at(own["logits"], where) / float(numbers.get("temperature", 1.0)) for own, numbers, where in each], of
    )


MEAN = MeanRow(ROW.name, _mean)
