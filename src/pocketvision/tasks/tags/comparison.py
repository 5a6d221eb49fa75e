"""Two models that tag, on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketvision.printable import counted
from pocketvision.statistics import Headline, Interval, paired_drop, percentile_interval
from pocketvision.tasks.tags.metrics import HEADLINE, average_precisions, resampled
from pocketvision.tasks.tags.record import TagRecord, stacked


@dataclass(frozen=True)
class TagComparison:
    """same: the share of yes and no that did not change, in [0, 1]. mean_difference: of probabilities. reference, candidate:
    the mean average precision of each; None without truth, or where no image has any tag. drop: reference less candidate, in
    points."""

    images: int
    same: float
    mean_difference: float
    reference: Headline | None = None
    candidate: Headline | None = None
    drop: float | None = None
    drop_interval: Interval | None = None

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
        """Points gained, then the same decisions, then how close the probabilities are."""
        return -(self.drop or 0.0), self.same, -self.mean_difference

    def within(self, points: float) -> bool:
        """Without truth the share of changed decisions stands in."""
        return (100 * (1 - self.same) if self.drop is None else self.drop) <= points + 1e-9

    def is_sure(self, points: float) -> bool:
        """Whether the whole interval is within."""
        return self.drop_interval is not None and self.drop_interval.high <= points + 1e-9

    def can_be_sure(self, points: float) -> bool:
        """Whether so many images could be enough."""
        return self.drop is not None and paired_drop(0, 0, self.images).high <= points

    def explain(self, points: float) -> str:
        """In words."""
        if self.drop is None or self.drop_interval is None:
            changed = f"{100 * (1 - self.same):.2f} % of the tags of {counted(self.images, 'image')} changed"
            return f"{changed}, and {points:g} are allowed; with labelled images (--data) the figures could be judged."
        return (
            f"the mean average precision drops by {self.drop:.2f} points (95 %: {self.drop_interval.low:.2f} to "
            f"{self.drop_interval.high:.2f}) on {counted(self.images, 'image')}, and {points:g} are allowed."
        )

    def figures(self) -> dict[str, float]:
        """What a manifest keeps."""
        known: dict[str, float] = {}
        if self.reference is not None and self.candidate is not None and self.drop is not None:
            known = {HEADLINE: self.candidate.value, f"reference_{HEADLINE}": self.reference.value, "drop": self.drop}
        return {"images": self.images, "same": self.same, "mean_probability_difference": self.mean_difference, **known}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = self.drop_interval
        return {**self.figures(), "drop_interval": None if interval is None else [interval.low, interval.high]}


def compare(reference: Sequence[TagRecord], candidate: Sequence[TagRecord]) -> TagComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's."""
    one, other = stacked(reference), stacked(candidate)
    difference = np.abs(one.probabilities - other.probabilities)
    difference[~np.isfinite(difference)] = np.inf
    same = float((one.said == other.said).mean())
    found = TagComparison(len(reference), same, float(difference.mean()))
    marks = one.marks
    if marks is None or not marks.any():
        return found
    weights = np.ones((1, len(marks)), np.int64)
    # What is not a number is no answer: the lowest score there is.
    scores = [np.where(np.isfinite(each.probabilities), each.probabilities, -1.0) for each in (one, other)]
    means = [float(np.nanmean(average_precisions(each, marks, weights))) for each in scores]
    drawn = [resampled(each, marks, 0) for each in scores]
    drop, least = 100 * (means[0] - means[1]), paired_drop(0, 0, len(marks))
    low, high = drop + least.low, drop + least.high  # never narrower than of answers of which none changed
    if len(drawn[0]):
        ends = np.nanpercentile(100 * (drawn[0] - drawn[1]), [2.5, 97.5]).tolist()
        low, high = min(low, ends[0]), max(high, ends[1])
    headlines = [Headline(HEADLINE, mean, percentile_interval(each)) for mean, each in zip(means, drawn, strict=True)]
    return TagComparison(len(marks), same, found.mean_difference, headlines[0], headlines[1], drop, Interval(low, high))
