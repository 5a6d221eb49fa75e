"""A bundle's own figures: what was measured of it, on which images, in the words that every display uses. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from pocketvision.printable import counted

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
    measured were learned from, for there were no others.
    """

    word: str
    name: str
    value: float
    interval: tuple[float, float] | None
    images: int
    left_out: int = 0
    compressed: bool = False
    learned: bool = False

    @property
    def text(self) -> str:
        """As in "Accuracy 93.5 % (90.6 to 95.6), test, 372 images"."""
        bounds = "" if self.interval is None else " ({:.1f} to {:.1f})".format(*(100 * end for end in self.interval))
        text = (
            f"{self.name.capitalize()} {100 * self.value:.1f} %{bounds}, {self.word}, {counted(self.images, 'image')}"
        )
        text = f"{text} that it learned from" if self.learned else text
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
            "text": self.text,
        }


def figures_of(metrics: Mapping[str, Mapping[str, Any]], *, compressed: bool = False) -> tuple[Figure, ...]:
    """The figures that a task's `metrics` hold, that of the test images first. What is not a figure is passed over."""
    found = (_figure(word, metrics.get(word, {}), compressed) for word in SETS)
    return tuple(figure for figure in found if figure is not None)


def _figure(word: str, measured: Mapping[str, Any], compressed: bool) -> Figure | None:
    value, images = measured.get("accuracy"), measured.get("images")
    if not isinstance(value, int | float) or not isfinite(value) or not isinstance(images, int):
        return None
    intervals = measured.get("intervals")
    bounds = intervals.get("accuracy") if isinstance(intervals, Mapping) else None
    is_interval = (
        isinstance(bounds, list | tuple) and len(bounds) == 2 and all(isinstance(e, int | float) for e in bounds)
    )
    interval = (float(bounds[0]), float(bounds[1])) if is_interval and bounds is not None else None
    left_out = measured.get("left_out", 0)
    return Figure(
        word,
        "accuracy",
        float(value),
        interval,
        images,
        left_out if isinstance(left_out, int) else 0,
        compressed,
        learned=measured.get("role") == "learned",
    )
