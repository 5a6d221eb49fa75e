"""What several networks' heads say, as one: their mean, and the head that reads it off an ensemble (models/ensemble.py)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature
from pocketvision.models.heads.head import Head

LOGITS, SHARES = "logits", "probabilities"
MEANS = (SHARES, LOGITS)
"""What a mean may be of; probabilities where nobody says."""

Decode = Callable[[Tensor, Mapping[str, Any]], dict[str, Tensor]]


@dataclass(frozen=True)
class MeanRow:
    """How heads of a kind of task become one.

    of: from what each head puts out to be learned from, by role, each with its task's postprocessing, the places of the first
    one's classes among its own, and what the mean is of (MEANS), to what is learned from. head: of HEADS, that reads it.
    """

    head: str
    of: Callable[[Sequence[Mapping[str, Tensor]], Sequence[Mapping[str, Any]], Sequence[Sequence[int]], str], Tensor]


class GivenHead(nn.Module):
    """Hands on the one feature that it reads: of an ensemble, the mean of its members' heads."""

    def __init__(self, features: tuple[Feature, ...], role: str, decode: Decode) -> None:
        super().__init__()
        (feature,) = features
        self.name, self.role, self.decoded = feature.name, role, decode

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {self.role: features[self.name]}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.decoded(outputs[self.role], postprocessing)


def given_head(name: str, kind: str, roles: tuple[str, ...], learned: str, decode: Decode) -> Head:
    """A row of HEADS. roles: of what ships. learned: the role of what is learned from."""

    def build(features: tuple[Feature, ...], classes: int, dropout: float) -> GivenHead:
        del classes, dropout  # what is given has both already
        if len(features) != 1:
            raise UsageError(
                f"{name} hands on what the members of an ensemble say; `pocketvision ensemble` makes it of bundles."
            )
        return GivenHead(features, learned, decode)

    return Head(name, kind, (), roles, build)


def mean_softmax(logits: Sequence[Tensor], of: str) -> Tensor:
    """Of (N, classes, …) each: logits whose softmax is the mean of their softmaxes, or the mean of the logits."""
    stacked = torch.stack([*logits])
    if of == LOGITS:
        return stacked.mean(dim=0)
    return torch.logsumexp(torch.log_softmax(stacked, dim=2), dim=0) - math.log(len(stacked))


def mean_sigmoid(logits: Sequence[Tensor], of: str) -> Tensor:
    """Of (N, tags) each: logits whose sigmoid is the mean of their sigmoids, or the mean of the logits."""
    stacked = torch.stack([*logits])
    if of == LOGITS:
        return stacked.mean(dim=0)
    yes, no = (torch.logsumexp(nn.functional.logsigmoid(each), dim=0) for each in (stacked, -stacked))
    return yes - no


def at(values: Tensor, places: Sequence[int]) -> Tensor:
    """(N, classes, …) in another order of the classes; as they are where that is the same."""
    return values if list(places) == list(range(values.shape[1])) else values[:, list(places)]
