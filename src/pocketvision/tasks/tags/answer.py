"""What a model says about an image's tags. Numpy only; no torch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_NAMED = 3


@dataclass(frozen=True, eq=False)
class Tags:
    """A probability for each tag, and from which one on the image has it.

    labels: the tags' names, in the bundle's order. probabilities, thresholds: (tags,) in [0, 1]; the probabilities are
    independent and sum to nothing in particular. An answer that came over the wire has the tags that were told.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.floating]
    thresholds: NDArray[np.floating]

    def __post_init__(self) -> None:
        wanted = (len(self.labels),)
        if self.probabilities.shape != wanted or self.thresholds.shape != wanted:
            found = f"{self.probabilities.shape} and {self.thresholds.shape}"
            raise ValueError(f"probabilities and thresholds have the shapes {found}; expected {wanted}, one a tag")

    @property
    def kind(self) -> str:
        """The row of TASKS."""
        return "tags"

    @cached_property
    def found(self) -> tuple[int, ...]:
        """The places of the tags at or above their thresholds, the most probable first."""
        places = np.flatnonzero(self.probabilities >= self.thresholds)
        return tuple(places[np.argsort(-self.probabilities[places], kind="stable")].tolist())

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of the tags that the image has, the most probable first."""
        return tuple(self.labels[place] for place in self.found)

    @property
    def confidence(self) -> float | None:
        """The mean over tags of how sure each yes or no is, in [0.5, 1]; None where no tag was told."""
        sure = np.maximum(self.probabilities, 1 - self.probabilities)
        return float(sure.mean()) if len(sure) else None

    @property
    def headline(self) -> str:
        """As in "cat 97%, sofa 81%"; "no tags"."""
        named = [f"{self.labels[place]} {self.probabilities[place]:.0%}" for place in self.found[:_NAMED]]
        more = len(self.found) - len(named)
        return ", ".join([*named, *([f"{more} more"] if more else [])]) or "no tags"
