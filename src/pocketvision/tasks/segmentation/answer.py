"""What a model says about every pixel of an image. Numpy only; no torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.segmentation.logits import Logits
from pocketvision.tasks.segmentation.truth import Mask

_NAMED = 3
_WORTH_NAMING = 0.005


@dataclass(frozen=True, eq=False)
class Segmentation:
    """labels: the classes' names, in the bundle's order. size: width and height of the upright image. shares: (classes) of its
    pixels, in [0, 1]; what the input did not show is of no class. mask: (height, width) places in labels, NOTHING where the input
    showed nothing; None where it was not told. certainty: how sure the answer is on average, in [0, 1]; None where that is not
    known. logits: what it was made from; None where it came over the wire.
    """

    labels: tuple[str, ...]
    size: tuple[int, int]
    shares: NDArray[np.float64]
    mask: Mask | None
    certainty: float | None = None
    logits: Logits | None = None

    def __post_init__(self) -> None:
        width, height = self.size
        if self.shares.shape != (len(self.labels),):
            raise ValueError(f"{self.shares.shape} shares of {len(self.labels)} classes")
        if self.mask is not None and self.mask.shape != (height, width):
            raise ValueError(f"a mask of {self.mask.shape} for an image of {height} x {width}")

    @property
    def kind(self) -> str:
        """The row of TASKS."""
        return "segmentation"

    @property
    def confidence(self) -> float | None:
        """The probability of each pixel's class, on average."""
        return self.certainty

    @property
    def ranked(self) -> list[int]:
        """The places of the classes that are there, the largest first."""
        order = np.argsort(-self.shares, kind="stable")
        return [place for place in order.tolist() if self.shares[place] > 0]

    @property
    def headline(self) -> str:
        """As in "road 61%, sky 30%": the largest classes first; "nothing" of an image that the input did not show."""
        worth = [place for place in self.ranked if self.shares[place] >= _WORTH_NAMING] or self.ranked[:1]
        named = [f"{self.labels[place]} {self.shares[place]:.0%}" for place in worth[:_NAMED]]
        more = len(worth) - _NAMED
        return ", ".join([*named, *([f"{more} more"] if more > 0 else [])]) or "nothing"
