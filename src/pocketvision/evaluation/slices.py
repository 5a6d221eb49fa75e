"""The figures of parts of the images: by any column of their table, by the pictures' size and brightness; and the worst part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.answering import Pass
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.printable import counted
from pocketvision.statistics import Headline
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.measuring import MeasureOptions

LEAST = 10
"""Images below which a slice is told and never called the worst."""

MOST_VALUES = 20
"""Of a column: of more, the rarer ones are one slice. Numbers of more values than _FEW are cut into quarters."""

_FEW = 8
OTHERS = "others"


@dataclass(frozen=True)
class Slice:
    """column: what the images were divided by, value: of this part, in words. headline: the task's; None where undefined."""

    task: str
    column: str
    value: str
    images: int
    headline: Headline | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = self.headline
        interval = None if found is None or found.interval is None else [found.interval.low, found.interval.high]
        figure = {"value": None, "figure": None} if found is None else {"figure": found.name, "value": found.value}
        return {
            "task": self.task,
            "column": self.column,
            "slice": self.value,
            "images": self.images,
            **figure,
            "interval": interval,
        }


@dataclass(frozen=True)
class Slices:
    """Of all columns and tasks. whole: by task, the headline of all images."""

    parts: tuple[Slice, ...]
    whole: Mapping[str, Headline]

    @property
    def worst(self) -> Slice | None:
        """Of those with LEAST images, the furthest below its task's whole; None where no such slice is below."""
        below = [each for each in self._large if self._above(each) < 0]
        return min(below, key=self._above, default=None)

    @property
    def _large(self) -> list[Slice]:
        return [each for each in self.parts if each.headline is not None and each.images >= LEAST]

    def _above(self, part: Slice) -> float:
        assert part.headline is not None, "it was asked for"
        return part.headline.value - self.whole[part.task].value

    @property
    def text(self) -> str:
        """The worst slice with its interval, in a sentence; it says when that may be chance."""
        worst = self.worst
        if worst is None or worst.headline is None:
            if self._large:
                return f"No slice of {LEAST} images or more is below the whole, so none is called the worst."
            return f"No slice has {LEAST} images or more, so none is called the worst."
        whole, interval = self.whole[worst.task], worst.headline.interval
        chance = interval is None or interval.high >= whole.value
        return (
            f"Worst slice: {worst.column} = {worst.value}, {worst.headline.name} {worst.headline.text} on "
            f"{counted(worst.images, 'image')}, against {whole.value:.1%} of all"
            + ("; the interval holds that, so it may be chance" if chance else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        worst = self.worst
        return {
            "worst": None if worst is None else worst.to_dict(),
            "text": self.text,
            "slices": [each.to_dict() for each in self.parts],
        }


def slices_of(
    evaluation: Evaluation, found: Pass, columns: Mapping[str, Sequence[str]], options: MeasureOptions
) -> Slices:
    """columns: by name, a value for each of the images that `found` answered. The pictures' size and brightness are columns too.

    Only the images that the evaluation measured are counted."""
    of_path = {path: row for row, path in enumerate(columns["path"])}
    named = {name: values for name, values in columns.items() if name != "path"} | _own_columns(found)
    parts = []
    for task, measured in evaluation.tasks.items():
        rows = [of_path[path] for path in measured.paths]
        for name, values in named.items():
            own = _divided([values[row] for row in rows])
            for value in sorted(set(own)):
                places = [place for place, each in enumerate(own) if each == value]
                parts.append(_slice(task, name, value, measured, places, options))
    return Slices(tuple(parts), {task: each.metrics.headline for task, each in evaluation.tasks.items()})


def _slice(task: str, column: str, value: str, measured: Any, places: list[int], options: MeasureOptions) -> Slice:
    measuring = task_named(measured.task.kind).measuring()
    try:
        headline = measuring.measure([measured.records[place] for place in places], measured.task, options).headline
    except PocketVisionError:  # none of them has any object, say
        headline = None
    return Slice(task, column, value, len(places), headline)


def _own_columns(found: Pass) -> dict[str, list[str]]:
    sides = found.sizes.min(axis=1)
    columns = {"picture size": [f"{side}" for side in sides.tolist()]} if sides.all() else {}
    if found.brightness is not None:
        columns["brightness"] = [f"{each:.3f}" for each in found.brightness.tolist()]
    return columns


def _divided(values: Sequence[str]) -> list[str]:
    """The slice of each value: the value itself, a quarter of the numbers where they are many, or OTHERS."""
    numbers = _numbers(values)
    if numbers is not None and len(set(numbers)) > _FEW:
        edges = np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
        at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
        return [
            f"{chr(97 + place)}: {edges[place]:g} to {edges[min(place + 1, len(edges) - 1)]:g}" for place in at.tolist()
        ]
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    kept = set(sorted(counts, key=lambda each: -counts[each])[:MOST_VALUES])
    return [(value or "(empty)") if value in kept else OTHERS for value in values]


def _numbers(values: Sequence[str]) -> list[float] | None:
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if all(map(isfinite, found)) else None
