"""Two models by one figure, on the same images, whatever the figure is: what budgets and candidates are judged by."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.printable import counted
from pocketvision.statistics import (
    Headline,
    Interval,
    PairedBootstrap,
    paired_bootstrap,
    paired_drop,
    percentile_interval,
)


@dataclass(frozen=True)
class Wording:
    """How a comparison is told.

    name: the figure's, as in Headline; noun: in a sentence. kept, difference: what those two are called in `figures`; an empty
    difference is none. lost: what stands for a drop where nothing tells the truth, with {lost} (in points), {difference} and
    {images} to be filled in.
    """

    name: str
    noun: str
    kept: str
    difference: str
    lost: str


@dataclass(frozen=True)
class FigureComparison:
    """kept: how much of the reference's answers the candidate gives too, at most 1. difference: of their numbers, on average.
    reference, candidate: the figure of each; drop: the first less the second, in points of a hundred. drop_interval: of the drop,
    never narrower than of answers of which none changed, which is what budgets want; test: by the resamples alone, which is what
    says who is better. All of these None without truth, or where the figure says nothing."""

    images: int
    kept: float
    difference: float
    wording: Wording
    reference: Headline | None = None
    candidate: Headline | None = None
    drop: float | None = None
    drop_interval: Interval | None = None
    test: PairedBootstrap | None = None

    @property
    def headline(self) -> Headline | None:
        """The candidate's."""
        return self.candidate

    @property
    def reference_headline(self) -> Headline | None:
        """The reference's."""
        return self.reference

    @property
    def closeness(self) -> tuple[float, ...]:
        """Points gained, then how much is kept, then how close the numbers are."""
        return -(self.drop or 0.0), self.kept, -self.difference

    def within(self, points: float) -> bool:
        """Without truth what is not kept stands in."""
        return (100 * (1 - self.kept) if self.drop is None else self.drop) <= points + 1e-9

    def is_sure(self, points: float) -> bool:
        """Whether the whole interval is within."""
        return self.drop_interval is not None and self.drop_interval.high <= points + 1e-9

    def can_be_sure(self, points: float) -> bool:
        """Whether so many images could be enough."""
        return self.drop is not None and paired_drop(0, 0, self.images).high <= points

    def explain(self, points: float) -> str:
        """In words."""
        images = counted(self.images, "image")
        if self.drop is None or self.drop_interval is None:
            lost = self.wording.lost.format(
                lost=f"{100 * (1 - self.kept):.2f}", difference=f"{self.difference:.4g}", images=images
            )
            return f"{lost}, and {points:g} are allowed; with labelled images (--data) the figures could be judged."
        return (
            f"{self.wording.noun} drops by {self.drop:.2f} points (95 %: {self.drop_interval.low:.2f} to "
            f"{self.drop_interval.high:.2f}) on {images}, and {points:g} are allowed."
        )

    def figures(self) -> dict[str, float]:
        """What a manifest keeps."""
        words, known = self.wording, dict[str, float]()
        if self.reference is not None and self.candidate is not None and self.drop is not None:
            known = {
                words.name: self.candidate.value,
                f"reference_{words.name}": self.reference.value,
                "drop": self.drop,
            }
        differs = {words.difference: self.difference} if words.difference else {}
        return {"images": self.images, words.kept: self.kept, **differs, **known}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = self.drop_interval
        return {**self.figures(), "drop_interval": None if interval is None else [interval.low, interval.high]}

    def judged(
        self, figures: tuple[float, float], drawn: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> "FigureComparison":
        """With the figure of the reference and of the candidate, and of images drawn again, (resamples) each, the same ones."""
        name, drop, least = self.wording.name, 100 * (figures[0] - figures[1]), paired_drop(0, 0, self.images)
        low, high = drop + least.low, drop + least.high  # never narrower than of answers of which none changed
        if len(drawn[0]):
            ends = np.nanpercentile(100 * (drawn[0] - drawn[1]), [2.5, 97.5]).tolist()
            low, high = min(low, ends[0]), max(high, ends[1])
        one, other = (
            Headline(name, value, percentile_interval(each)) for value, each in zip(figures, drawn, strict=True)
        )
        test = paired_bootstrap(100 * drawn[0], 100 * drawn[1], self.images)
        return replace(self, reference=one, candidate=other, drop=drop, drop_interval=Interval(low, high), test=test)
