"""A bundle's own figures: what was measured of it, on which images, in the words that every display uses. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pocketvision.printable import counted
from pocketvision.statistics import Headline
from pocketvision.tasks.manifest import DECIDED_BY

TEST, SELECTION = "test", "selection"

SETS = (TEST, SELECTION)
"""The sets of images that a manifest may hold figures of, the most telling first: those untouched by the training, and those
that chose its epoch and its temperature."""


@dataclass(frozen=True)
class Figure:
    """The figure that people compare, on one set of images.

    word: which set, one of SETS. name: of the figure. value: in [0, 1]. interval: that of 95 %, None where there is none.
    images: how many were measured. left_out: how many of the set were not, because they, or nearly the same pictures, were
    learned from. compressed: the figures are those of the network before it was made smaller. learned: all the images that were
    measured were learned from, for there were no others. redecided: the bundle's thresholds, or
    how it looks at pictures, were others when it was measured.
    """

    word: str
    name: str
    value: float
    interval: tuple[float, float] | None
    images: int
    left_out: int = 0
    compressed: bool = False
    learned: bool = False
    redecided: bool = False

    @property
    def text(self) -> str:
        """As in "Accuracy 93.5 % (90.6 to 95.6), test, 372 images"."""
        bounds = "" if self.interval is None else " ({:.1f} to {:.1f})".format(*(100 * end for end in self.interval))
        name = self.name.capitalize() if self.name.islower() else self.name  # AP stays AP
        text = f"{name} {100 * self.value:.1f} %{bounds}, {self.word}, {counted(self.images, 'image')}"
        text = f"{text} that it learned from" if self.learned else text
        text = f"{text}, before its settings were changed" if self.redecided else text
        return f"{text}, before compression" if self.compressed else text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "set": self.word,
            "name": self.name,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "images": self.images,
            "left_out": self.left_out,
            "before_compression": self.compressed,
            **({"before_thresholds": True} if self.redecided else {}),
            "text": self.text,
        }


HeadlineOf = Callable[[Mapping[str, Any]], Headline | None]


def figures_of(
    metrics: Mapping[str, Mapping[str, Any]],
    headline_of: HeadlineOf,
    *,
    compressed: bool = False,
    decided_by: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Figure, ...]:
    """The figures that a task's `metrics` hold, that of the test images first. What is not a figure is passed over. headline_of:
    the task's. decided_by: what decides on its answers now (tasks/manifest.py)."""
    found = (_figure(word, metrics.get(word, {}), headline_of, compressed) for word in SETS)
    decided = {word: metrics.get(word, {}).get(DECIDED_BY, {}) for word in SETS}
    return tuple(replace(each, redecided=decided[each.word] != decided_by) for each in found if each is not None)


def _figure(word: str, measured: Mapping[str, Any], headline_of: HeadlineOf, compressed: bool) -> Figure | None:
    headline, images = headline_of(measured), measured.get("images")
    if headline is None or not isinstance(images, int):
        return None
    interval = headline.interval
    left_out = measured.get("left_out", 0)
    return Figure(
        word,
        headline.name,
        headline.value,
        None if interval is None else (interval.low, interval.high),
        images,
        left_out if isinstance(left_out, int) else 0,
        compressed,
        learned=measured.get("role") == "learned",
    )
