"""What of a validation has a near-twin in training, a picture of the same likely group, and the figure on the rest. No torch."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.printable import counted
from pocketvision.statistics import Headline
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.measuring import MeasureOptions


@dataclass(frozen=True)
class NearTwins:
    """Of `images` validated images, how many have a near-twin in training.

    groups: how many likely groups the split kept together, 0 where it did not. everything, rest: the first task's figure of all,
    and of those without; None where no image is left.
    """

    images: int
    with_twin: int
    groups: int
    everything: Headline
    rest: Headline | None

    @property
    def text(self) -> str:
        """In a sentence."""
        share = f"{self.with_twin:,} of {counted(self.images, 'validation image')} ({self.with_twin / self.images:.0%})"
        said = f"{share} have a near-twin in training, a picture of the same likely group"
        if not self.with_twin:
            return f"{said}: {self.everything.name} {self.everything.text}."
        rest = "nothing is left to measure" if self.rest is None else self.rest.text
        return f"{said}: {self.everything.name} {self.everything.text} on all, {rest} on the rest."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "images": self.images,
            "with_twin": self.with_twin,
            "groups_kept_together": self.groups,
            "figure": self.everything.name,
            "all": _plain(self.everything),
            "rest": _plain(self.rest),
        }


def near_twins(validation: Evaluation, twins: Set[str] | None, groups: int, seed: int = 0) -> NearTwins | None:
    """twins: the paths of validated images with a near-twin; None where nobody looked, which is the answer then. groups: see
    NearTwins."""
    if twins is None:
        return None
    first = validation.first
    rest = [record for path, record in zip(first.paths, first.records, strict=True) if path not in twins]
    with_twin = len(first.paths) - len(rest)
    figures = first.metrics.headline
    if with_twin and rest:
        measure = task_named(first.task.kind).measuring().measure
        figures_of_rest = measure(rest, first.task, MeasureOptions(fitted=True, seed=seed)).headline
    return NearTwins(
        len(first.paths), with_twin, groups, figures, (figures_of_rest if with_twin else figures) if rest else None
    )


def _plain(headline: Headline | None) -> dict[str, Any] | None:
    if headline is None:
        return None
    bounds = None if headline.interval is None else [headline.interval.low, headline.interval.high]
    return {"value": headline.value, "interval": bounds}
