"""What a report shows beside a mistake: where the model looked, and the training pictures that it resembles."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Near:
    """A training picture: a data URI, the name of its class (empty where it has none), and how alike it is, up to 1."""

    data: str
    name: str
    similarity: float


@dataclass(frozen=True)
class Looked:
    """map: a data URI of the picture with the map over it, empty where there is none; words: what the map is of."""

    map: str
    words: str
    near: tuple[Near, ...]


@dataclass(frozen=True)
class Believed:
    """How far the maps of a report are to be believed, by some of them. deletion, insertion: by how much they are better than
    random ones; weights: how alike they are with random weights; fails: whether they fail."""

    maps: int
    deletion: float
    insertion: float
    weights: float
    fails: bool


class Looking(Protocol):
    """Made for a report: asked about each mistake that is shown, by the image's path."""

    def __call__(self, path: str) -> Looked | None:
        """None where there is nothing to be shown."""

    def believed(self) -> Believed | None:
        """Of the maps that were made so far; None where none was checked."""


class NotLooking:
    """Nothing beside any mistake."""

    def __call__(self, path: str) -> None:
        del path

    def believed(self) -> None:
        return None
