"""Two detectors on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketvision.printable import counted
from pocketvision.statistics import Headline, Interval, paired_drop, percentile_interval
from pocketvision.tasks.detection.bootstrap import means, resampled
from pocketvision.tasks.detection.matching import RIGHT, ignored_by_size, match
from pocketvision.tasks.detection.metrics import HEADLINE, KEPT
from pocketvision.tasks.detection.precision import average_precisions, mean
from pocketvision.tasks.detection.record import DetectionRecord, joined
from pocketvision.tasks.detection.truth import areas


@dataclass(frozen=True)
class DetectionComparison:
    """same: F1 of the candidate's objects, were the reference's the real ones: of the same class with an IoU of at least 0.5, at
    the thresholds that ship. reference, candidate: the average precision of each; None without truth, or where no image has
    any object. drop: reference less candidate, in points."""

    images: int
    same: float
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
        """Points gained, then the same objects."""
        return -(self.drop or 0.0), self.same

    def within(self, points: float) -> bool:
        """Without truth the share of changed objects stands in."""
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
            changed = f"{100 * (1 - self.same):.2f} % of the objects on {counted(self.images, 'image')} changed"
            return f"{changed}, and {points:g} are allowed; with labelled images (--data) the figures could be judged."
        return (
            f"the average precision drops by {self.drop:.2f} points (95 %: {self.drop_interval.low:.2f} to "
            f"{self.drop_interval.high:.2f}) on {counted(self.images, 'image')}, and {points:g} are allowed."
        )

    def figures(self) -> dict[str, float]:
        """What a manifest keeps."""
        known: dict[str, float] = {}
        if self.reference is not None and self.candidate is not None and self.drop is not None:
            known = {KEPT: self.candidate.value, f"reference_{KEPT}": self.reference.value, "drop": self.drop}
        return {"images": self.images, "same": self.same, **known}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = self.drop_interval
        return {**self.figures(), "drop_interval": None if interval is None else [interval.low, interval.high]}


def compare(reference: Sequence[DetectionRecord], candidate: Sequence[DetectionRecord]) -> DetectionComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's."""
    found = DetectionComparison(len(reference), _same(reference, candidate))
    if any(each.there is None for each in reference):
        return found
    rows, classes = [joined(each) for each in (reference, candidate)], len(reference[0].found.labels)
    values = [mean(average_precisions(each, classes)) for each in rows]
    if values[0] is None or values[1] is None:
        return found
    drawn = [means(resampled(each, classes, 0)) for each in rows]
    drop, least, shared = 100 * (values[0] - values[1]), paired_drop(0, 0, len(reference)), min(map(len, drawn))
    low, high = drop + least.low, drop + least.high  # never narrower than of answers of which none changed
    if shared:
        ends = np.nanpercentile(100 * (drawn[0][:shared] - drawn[1][:shared]), [2.5, 97.5]).tolist()
        low, high = min(low, ends[0]), max(high, ends[1])
    one, other = (
        Headline(HEADLINE, value, percentile_interval(each))
        for value, each in zip((values[0], values[1]), drawn, strict=True)
    )
    return DetectionComparison(len(reference), found.same, one, other, drop, Interval(low, high))


def _same(reference: Sequence[DetectionRecord], candidate: Sequence[DetectionRecord]) -> float:
    hits = said = 0
    for one, other in zip(reference, candidate, strict=True):
        wanted, given = one.found.take(one.said), other.found.take(other.said)
        none = np.zeros(len(wanted), np.bool_)
        ignored = ignored_by_size(areas(wanted.boxes), none)
        states, _ = match(given, wanted.boxes, wanted.classes, none, ignored)
        hits += int((states[0, 0] == RIGHT).sum())
        said += len(wanted) + len(given)
    return 2 * hits / said if said else 1.0
