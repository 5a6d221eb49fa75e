"""What a head is: a row that tells which features it reads, and the module that is built from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from pocketvision.models.features import Feature, multiscale_features
from pocketvision.models.spec import ModelSpec

Build = Callable[[tuple[Feature, ...], int, float], nn.Module]
"""From the features (in the row's order), the number of classes and the dropout's probability to a module that is a HeadModule;
random weights come from torch's global random state."""


class HeadModule(Protocol):
    """What `build` gives, besides being an nn.Module."""

    def __call__(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the features that the row names, a batch first, to what is learned from, by role."""
        ...

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """From those to what ships, by the row's roles and in their order: a part of the exported graph.

        postprocessing: the task's settings in the manifest (temperature …).
        """
        ...


@dataclass(frozen=True)
class Head:
    """A row. kind: of the task. features: those it reads, by name (features.py); none for a head that reads several, which its
    HeadSpec names, or else `chosen` of the architecture. roles: of what it puts out in the graph that ships; every head of a kind
    has the same. remark: what to know before it learns, as sentences; said when a training begins. lr: the rate it learns at
    where a recipe gives none; None takes that of its kind. untrained: why it can not learn here; empty where it can."""

    name: str
    kind: str
    features: tuple[str, ...]
    roles: tuple[str, ...]
    build: Build
    chosen: Callable[[ModelSpec], tuple[str, ...]] = multiscale_features
    remark: str = ""
    lr: float | None = None
    untrained: str = ""


@dataclass(frozen=True)
class HeadSpec:
    """What a network's head is built from: the row's name, the number of classes, the dropout's probability (None takes the
    architecture's), and the features it reads (none: the row's, or what the row chooses where it has none)."""

    head: str
    classes: int
    dropout: float | None = None
    features: tuple[str, ...] = ()
