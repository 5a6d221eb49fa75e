"""Two models that say a number, on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketvision.printable import counted
from pocketvision.statistics import Headline, Interval, paired_drop, percentile_interval
from pocketvision.tasks.number.answer import short
from pocketvision.tasks.number.metrics import HEADLINE, draws, r2
from pocketvision.tasks.number.record import NumberRecord, stacked


@dataclass(frozen=True)
class NumberComparison:
    """kept: the candidate's R² if the reference's answers were the truth, at most 1. mean_difference: of the numbers, in their
    unit. reference, candidate: R² of each; drop: the first less the second, in points of a hundred. All of these None without
    truth."""

    images: int
    kept: float
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
        """Points gained, then how much is kept."""
        return -(self.drop or 0.0), self.kept

    def within(self, points: float) -> bool:
        """Without truth what is not kept of the reference's answers stands in."""
        return (100 * (1 - self.kept) if self.drop is None else self.drop) <= points + 1e-9

    def is_sure(self, points: float) -> bool:
        """Whether the whole interval is within."""
        return self.drop_interval is not None and self.drop_interval.high <= points + 1e-9

    def can_be_sure(self, points: float) -> bool:
        """Whether so many images could be enough."""
        return self.drop is not None and paired_drop(0, 0, self.images).high <= points

    def explain(self, points: float) -> str:
        """In words."""
        if self.drop is None or self.drop_interval is None:
            changed = f"{100 * (1 - self.kept):.2f} points of R² are lost against the reference's own answers, which differ by "
            changed += f"{short(self.mean_difference)} on average, on {counted(self.images, 'image')}"
            return f"{changed}, and {points:g} are allowed; with labelled images (--data) the figures could be judged."
        return (
            f"R² drops by {self.drop:.2f} points (95 %: {self.drop_interval.low:.2f} to {self.drop_interval.high:.2f}) on "
            f"{counted(self.images, 'image')}, and {points:g} are allowed."
        )

    def figures(self) -> dict[str, float]:
        """What a manifest keeps."""
        known: dict[str, float] = {}
        if self.reference is not None and self.candidate is not None and self.drop is not None:
            known = {HEADLINE: self.candidate.value, f"reference_{HEADLINE}": self.reference.value, "drop": self.drop}
        return {"images": self.images, "kept": self.kept, "mean_difference": self.mean_difference, **known}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = self.drop_interval
        return {**self.figures(), "drop_interval": None if interval is None else [interval.low, interval.high]}


_NO_ANSWER = 1e12
"""Stands for what is not a number: as far off as can still be squared."""


def compare(reference: Sequence[NumberRecord], candidate: Sequence[NumberRecord]) -> NumberComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's."""
    (one, truth), (other, _) = stacked(reference), stacked(candidate)
    one, other = (np.where(np.isfinite(each), each, _NO_ANSWER) for each in (one, other))
    found = NumberComparison(len(one), float(r2(other, one)), float(np.abs(one - other).mean()))
    if truth is None:
        return found
    shares = [float(r2(each, truth)) for each in (one, other)]
    drawn = draws(len(truth), 0)
    resampled = [r2(each[drawn], truth[drawn]) for each in (one, other)]
    drop, least = 100 * (shares[0] - shares[1]), paired_drop(0, 0, len(truth))
    ends = np.percentile(100 * (resampled[0] - resampled[1]), [2.5, 97.5]).tolist()
    headlines = [
        Headline(HEADLINE, share, percentile_interval(each)) for share, each in zip(shares, resampled, strict=True)
    ]
    return NumberComparison(
        len(truth),
        found.kept,
        found.mean_difference,
        headlines[0],
        headlines[1],
        drop,
        # Never narrower than of answers of which none changed.
        Interval(min(ends[0], drop + least.low), max(ends[1], drop + least.high)),
    )
