"""Where the scores of a class begin to count: thresholds chosen on labelled images by a wish, one class against the rest.

An image is answered with the class where its score is at least the threshold. Thresholds lie in the middle between neighbouring
scores, so that the small differences of runtimes change no answer.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import counted, quoted
from pocketvision.statistics import Interval, wilson

WISHES = ("f1", "precision", "recall", "cost", "at")
"""What a threshold can be chosen for; `at` is a threshold itself."""

EXAMPLES = "f1, precision=0.95, recall=0.9, cost=5:1, 0.3, or for one class cat:recall=0.9"
_WISH = r"(?P<number>[-+]?[.\d]+(?:e[-+]?\d+)?)|(?P<name>[A-Za-z]\w*)(?:=(?P<value>[^=]*))?"
_TEXT = re.compile(rf"(?:(?P<of>.+?):)??(?:{_WISH})", re.DOTALL)
# Shares of whole images are compared with decimals that a person wrote.
_ROUNDING = 1e-9


class UnmetWishError(UsageError):
    """A wish that no threshold meets on the images at hand. The message says what can be met; best: that, where there is any."""

    def __init__(self, message: str, best: "OperatingPoint | None" = None) -> None:
        super().__init__(message)
        self.best = best


@dataclass(frozen=True)
class Wish:
    """What a threshold is chosen for.

    name: one of WISHES. value: the least precision or recall, in (0, 1]; of `cost`, how many false alarms a miss costs, above 0;
    of `at`, the threshold, in [0, 1]; None for `f1`. of: the class that it is for; None where the task says which.
    """

    name: str
    value: float | None = None
    of: str | None = None

    def __post_init__(self) -> None:
        """UsageError for an unknown name or a value out of range."""
        if self.name not in WISHES:
            raise unknown_name("wish for a threshold", self.name, WISHES)
        if (self.value is None) != (self.name == "f1"):
            raise UsageError(f"The wish {quoted(self.text)} for a threshold is incomplete. Write it as in {EXAMPLES}.")
        value = 1.0 if self.value is None else self.value
        if self.name == "at" and not 0 <= value <= 1:
            raise UsageError(f"The threshold {value:g} is outside [0, 1]; a probability is compared with it.")
        if self.name in ("precision", "recall") and not 0 < value <= 1:
            raise UsageError(f"A {self.name} of {value:g} is wished for; expected a share above 0 and up to 1.")
        if self.name == "cost" and not (isfinite(value) and value > 0):
            raise UsageError(f"A miss costs {value:g} false alarms; expected a number above 0, as in cost=5:1.")

    @property
    def text(self) -> str:
        """As it is written: "recall=0.9", "cat:cost=5:1"."""
        value = "" if self.value is None else f"={self.value:g}" + (":1" if self.name == "cost" else "")
        return ("" if self.of is None else f"{self.of}:") + self.name + value

    @classmethod
    def parse(cls, text: str, classes: Sequence[str] | None = None) -> "Wish":
        """From a text such as EXAMPLES. classes: those there are, where they are known.

        Raises UsageError for a text that is none, a value out of range or an unknown class.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise UsageError(f"{quoted(text)} is no wish for a threshold. Write it as in {EXAMPLES}.")
        if classes is not None and match["of"] is not None and match["of"] not in classes:
            raise unknown_name("class", match["of"], classes)
        if match["number"] is not None:
            return cls("at", _number(match["number"], text), match["of"])
        name, value = match["name"], match["value"]
        if name == "cost" and value is not None and ":" in value:
            miss, alarm = (_number(part, text) for part in value.split(":", 1))
            return cls(name, miss / alarm if alarm > 0 else 0.0, match["of"])
        return cls(name, None if value is None else _number(value, text), match["of"])


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does on images: hits, false_alarms and misses of a class, of `images` in all."""

    threshold: float
    hits: int
    false_alarms: int
    misses: int
    images: int

    @property
    def precision(self) -> float | None:
        """Of the images said to be of the class, the share that is; None where none is said to be."""
        return _share(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float | None:
        """Of the images of the class, the share that is found; None where there are none."""
        return _share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of the two; None where there is nothing of the class, said or true."""
        return _share(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        intervals = {"precision": self.precision_interval, "recall": self.recall_interval}
        return {
            **asdict(self),
            **{name: getattr(self, name) for name in ("precision", "recall", "f1")},
            "intervals": {name: None if each is None else [each.low, each.high] for name, each in intervals.items()},
        }

    @property
    def precision_interval(self) -> Interval | None:
        """Wilson's, 95 %. A threshold that was chosen on these images flatters beyond it."""
        return wilson(self.hits, self.hits + self.false_alarms)

    @property
    def recall_interval(self) -> Interval | None:
        """The same of the recall."""
        return wilson(self.hits, self.hits + self.misses)


@dataclass(frozen=True, eq=False)
class Sweep:
    """Every threshold that tells n images apart, ascending: (m,) each.

    thresholds: in the middle between neighbouring scores, the first below all of them, the last above all where a score can be
    higher. widths: of the gap between those scores. hits, said: images of the class, and images in all, at or above the
    threshold. support: images of the class.
    """

    thresholds: NDArray[np.float64]
    widths: NDArray[np.float64]
    hits: NDArray[np.int64]
    said: NDArray[np.int64]
    support: int
    images: int

    @classmethod
    def of(
        cls,
        scores: NDArray[np.floating],
        is_class: NDArray[np.bool_],
        *,
        without_score: int = 0,
        images: int | None = None,
    ) -> "Sweep":
        """scores: (n,) finite, in [0, 1], n >= 1. is_class: (n,) whether an image is of the class. For what is found in images:
        objects that nothing found have no score; n is not how many images there are."""
        levels, place = np.unique(scores.astype(np.float64), return_inverse=True)
        said, hits = (
            np.r_[np.bincount(place, weights=weight, minlength=len(levels))[::-1].cumsum()[::-1], 0].astype(np.int64)
            for weight in (None, is_class)
        )
        edges = np.concatenate([[0.0], levels, [1.0]])
        thresholds, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
        if levels[-1] >= 1:  # nothing is above it
            thresholds, widths, hits, said = (each[:-1] for each in (thresholds, widths, hits, said))
        there, count = int(is_class.sum()) + without_score, len(scores) if images is None else images
        return cls(thresholds, widths, hits, said, there, count)

    @cached_property
    def precision(self) -> NDArray[np.float64]:
        """(m,) NaN where nothing is said."""
        return _shares(self.hits, self.said)

    @cached_property
    def recall(self) -> NDArray[np.float64]:
        """(m,) NaN where the class has no images."""
        return _shares(self.hits, np.full(len(self.hits), self.support))

    @cached_property
    def f1(self) -> NDArray[np.float64]:
        """(m,) 0 where nothing is found."""
        return np.nan_to_num(_shares(2 * self.hits, self.said + self.support))

    def point(self, place: int) -> OperatingPoint:
        """The threshold at `place`."""
        hits, said = int(self.hits[place]), int(self.said[place])
        return OperatingPoint(float(self.thresholds[place]), hits, said - hits, self.support - hits, self.images)

    def at(self, threshold: float) -> OperatingPoint:
        """What any threshold does on these images."""
        # The first of `thresholds` that lies in the same gap says the same: it has as many scores below it.
        levels = self.thresholds + self.widths / 2
        place = min(int(np.searchsorted(levels, threshold, side="left")), len(self.thresholds) - 1)
        return replace(self.point(place), threshold=threshold)


def choose(
    scores: NDArray[np.floating],
    is_class: NDArray[np.bool_],
    wish: Wish,
    *,
    without_score: int = 0,
    images: int | None = None,
) -> OperatingPoint:
    """The threshold that `wish` asks for, and what it does on these very images (so it flatters: say how many they are).

    scores, is_class: (n,) as in Sweep.of, as are without_score and images. Of those that meet a precision the one with the
    highest recall, of those that meet a recall the one with the highest precision. Of equal ones the one in the widest gap
    between scores, then the lowest.

    Raises UnmetWishError where no threshold does, or the class has no images.
    """
    if len(scores) == 0 or not (is_class.any() or wish.name == "at"):
        raise _nothing_there(wish, len(scores) if images is None else images)
    return chosen(Sweep.of(scores, is_class, without_score=without_score, images=images), wish)


def chosen(sweep: Sweep, wish: Wish) -> OperatingPoint:
    """As `choose`, of what is counted already. Raises UnmetWishError as it does."""
    if not (sweep.hits.any() or wish.name == "at"):
        raise _nothing_there(wish, sweep.images)
    if wish.name == "at":
        return sweep.at(wish.value or 0.0)
    possible, ranks = _ranked(sweep, wish)
    if not possible.any():
        asked = sweep.recall if wish.name == "recall" else np.nan_to_num(sweep.precision) + 1e-6 * sweep.recall
        raise unmet(wish, sweep.point(int(np.argmax(asked))))
    places = np.flatnonzero(possible)
    keys = [np.round(rank[places], 12) for rank in (*ranks, sweep.widths)]
    best = np.lexsort([-places, *keys[::-1]])[-1]
    return sweep.point(int(places[best]))


def _nothing_there(wish: Wish, images: int) -> UnmetWishError:
    name = "the class" if wish.of is None else quoted(wish.of)
    return UnmetWishError(
        f"A threshold can not be chosen for {wish.text}: none of {counted(images, 'image')} is of {name}."
    )


def _ranked(sweep: Sweep, wish: Wish) -> tuple[NDArray[np.bool_], list[NDArray[np.float64]]]:
    """(m,) which thresholds meet the wish, and what to prefer of them, the more important first; the greater the better."""
    least = (wish.value or 0.0) - _ROUNDING
    found = sweep.hits > 0
    if wish.name == "precision":
        return found & (np.nan_to_num(sweep.precision) >= least), [sweep.recall, np.nan_to_num(sweep.precision)]
    if wish.name == "recall":
        return found & (sweep.recall >= least), [np.nan_to_num(sweep.precision), sweep.recall]
    if wish.name == "cost":
        misses, alarms = sweep.support - sweep.hits, sweep.said - sweep.hits
        return np.ones(len(found), np.bool_), [-((wish.value or 0.0) * misses + alarms)]
    return found, [sweep.f1]


def unmet(wish: Wish, best: OperatingPoint) -> UnmetWishError:
    """Of a precision, or of a recall where some objects have no score: every image can be said to be of a class."""
    name = "the class" if wish.of is None else quoted(wish.of)
    wanted, other = ("recall", "precision") if wish.name == "recall" else ("precision", "recall")
    figures = {"precision": best.precision or 0.0, "recall": best.recall or 0.0}
    return UnmetWishError(
        f"{wish.text} can not be met: the highest {wanted} for {name} on these {counted(best.images, 'image')} is "
        f"{figures[wanted]:.2f}, at threshold {best.threshold:.2f} ({other} {figures[other]:.2f}).",
        best,
    )


def _number(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        named = f"{quoted(text)} is no wish for a threshold: {quoted(value)} is no number"
        raise UsageError(f"{named}. Write it as in {EXAMPLES}.") from error


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.full(len(part), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
