"""How good spots are: F1 of those that lie within some pixels of one that a person saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bright_spots.answer import BrightSpots
from bright_spots.decode import THRESHOLD
from bright_spots.truth import Points
from pocketvision.errors import PocketVisionError
from pocketvision.statistics import RESAMPLES, Headline, Interval, paired_drop, percentile_interval
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.measuring import MeasureOptions, Measuring, kept_headline
from pocketvision.tasks.truth import Truth

NEAR = 3.0
"""Pixels of the image that a spot may be off."""


@dataclass(frozen=True, eq=False)
class SpotRecord:
    """xy: (k, 2) of the spots that the bundle's threshold leaves. hits: how many of these are real. there: how many real ones
    there are. None of both where nobody looked."""

    xy: NDArray[np.float64]
    hits: int | None = None
    there: int | None = None


def record(outputs: Tensors, answer: BrightSpots, truth: Truth | None, task: TaskManifest) -> SpotRecord:
    del outputs
    least = float(task.postprocessing.get("threshold", THRESHOLD))
    xy = np.array([(each.x, each.y) for each in answer.spots if each.score >= least]).reshape(-1, 2)
    if not isinstance(truth, Points):
        return SpotRecord(xy)
    real = truth.rows.row(0)["xy"]
    return SpotRecord(xy, matched(xy, real), len(real))


def matched(found: NDArray[Any], real: NDArray[Any]) -> int:
    """How many of (k, 2) are each near another one of (m, 2), the first first."""
    left, hits = list(range(len(real))), 0
    for xy in found:
        near = [(float(np.hypot(*(real[each] - xy))), each) for each in left]
        if near and min(near)[0] <= NEAR:
            left.remove(min(near)[1])
            hits += 1
    return hits


def f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of (..., 3) hits, found and there; 1 where there is nothing and nothing was found."""
    both = counts[..., 1] + counts[..., 2]
    return np.where(both == 0, 1.0, 2 * counts[..., 0] / np.maximum(both, 1))


def counts_of(records: Sequence[SpotRecord]) -> NDArray[np.int64]:
    """(n, 3) hits, found and there, of records with truth."""
    return np.array([(each.hits, len(each.xy), each.there) for each in records], np.int64)


def resampled(counts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(RESAMPLES, 3) sums over images drawn again."""
    chosen = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    return counts[chosen].sum(axis=1)


def interval_of(counts: NDArray[np.int64], seed: int) -> Interval | None:
    """The bootstrap's, of F1."""
    return percentile_interval(f1(resampled(counts, seed)))


@dataclass(frozen=True)
class SpotMetrics:
    images: int
    hits: int
    found: int
    there: int
    interval: Interval | None

    @property
    def headline(self) -> Headline:
        return Headline("F1", float(f1(np.array([self.hits, self.found, self.there]))), self.interval)

    @property
    def text(self) -> str:
        return f"F1 {self.headline.text}, {self.hits} of {self.there} spots found, {self.found - self.hits} too many"

    def to_dict(self) -> dict[str, Any]:
        bounds = {} if self.interval is None else {"F1": [self.interval.low, self.interval.high]}
        counts = {"hits": self.hits, "found": self.found, "there": self.there}
        return {"images": self.images, "F1": self.headline.value, **counts, "intervals": bounds}

    summary = to_dict


def measure(records: Sequence[SpotRecord], task: TaskManifest, options: MeasureOptions) -> SpotMetrics:
    del task
    if not records:
        raise PocketVisionError("There are no images to measure spots on.")
    counts = counts_of(records)
    hits, found, there = counts.sum(axis=0).tolist()
    return SpotMetrics(len(records), hits, found, there, interval_of(counts, options.seed))


@dataclass(frozen=True, eq=False)
class SpotComparison:
    """kept: F1 of the candidate's spots, were the reference's the real ones. counts: (2, n, 3) of both; None without truth."""

    images: int
    kept: float
    counts: NDArray[np.int64] | None

    @cached_property
    def _figures(self) -> tuple[float, ...]:
        return () if self.counts is None else tuple(f1(self.counts.sum(axis=1)).tolist())

    @property
    def headline(self) -> Headline | None:
        return self._headline(1)

    @property
    def reference_headline(self) -> Headline | None:
        return self._headline(0)

    def _headline(self, place: int) -> Headline | None:
        if self.counts is None:
            return None
        return Headline("F1", self._figures[place], interval_of(self.counts[place], 0))

    @property
    def drop(self) -> float | None:
        return 100 * (self._figures[0] - self._figures[1]) if self._figures else None

    @property
    def drop_interval(self) -> Interval | None:
        """Never narrower than that of answers of which none changed."""
        if self.counts is None or self.drop is None:
            return None
        one, other = (f1(resampled(each, 0)) for each in self.counts)
        low, high = np.percentile(100 * (one - other), [2.5, 97.5]).tolist()
        least = paired_drop(0, 0, self.images)
        return Interval(min(low, self.drop + least.low), max(high, self.drop + least.high))

    @property
    def closeness(self) -> tuple[float, ...]:
        return -(self.drop or 0.0), self.kept

    def within(self, points: float) -> bool:
        return (100 * (1 - self.kept) if self.drop is None else self.drop) <= points + 1e-9

    def is_sure(self, points: float) -> bool:
        return self.drop_interval is not None and self.drop_interval.high <= points

    def can_be_sure(self, points: float) -> bool:
        return self.drop is not None and paired_drop(0, 0, self.images).high <= points

    def explain(self, points: float) -> str:
        if self.drop is None:
            return f"{100 * self.kept:.1f} % of the spots are the same, on {self.images} images; {points:g} points are allowed."
        return f"the F1 of spots drops by {self.drop:.2f} points on {self.images} images, and {points:g} are allowed."

    def figures(self) -> dict[str, float]:
        known = (
            {} if self.drop is None else {"F1": self._figures[1], "reference_F1": self._figures[0], "drop": self.drop}
        )
        return {"images": self.images, "kept": self.kept, **known}

    def to_dict(self) -> dict[str, Any]:
        return self.figures()


def compare(reference: Sequence[SpotRecord], candidate: Sequence[SpotRecord]) -> SpotComparison:
    pairs = list(zip(reference, candidate, strict=True))
    same = np.array([(matched(other.xy, one.xy), len(other.xy), len(one.xy)) for one, other in pairs], np.int64)
    known = all(each.there is not None for each in reference)
    counts = np.stack([counts_of(reference), counts_of(candidate)]) if known else None
    return SpotComparison(len(pairs), float(f1(same.sum(axis=0))), counts)


@dataclass(frozen=True)
class SpotMistake:
    path: str
    missed: int
    wrong: int

    @property
    def text(self) -> str:
        return f"{self.missed} missed, {self.wrong} too many"

    @property
    def badness(self) -> float:
        return self.missed + self.wrong

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "missed": self.missed, "wrong": self.wrong}


def mistakes(records: Sequence[SpotRecord], paths: Sequence[str], task: TaskManifest) -> list[SpotMistake]:
    del task
    found = [
        SpotMistake(path, there - hits, count - hits)
        for path, (hits, count, there) in zip(paths, counts_of(records).tolist(), strict=True)
    ]
    return sorted((each for each in found if each.badness), key=lambda each: -each.badness)


def headline_of(kept: Mapping[str, Any]) -> Headline | None:
    return kept_headline(kept, "F1")


MEASURING = Measuring[BrightSpots, SpotRecord](
    record=record,
    check=lambda _task, _options: None,
    measure=measure,
    compare=compare,
    mistakes=mistakes,
    headline_of=headline_of,
)
