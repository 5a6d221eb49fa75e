"""How good the answers of a task are: what an image adds to the figures, and what follows from all of them. No torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Generic, Protocol, TypeVar

from pocketvision.statistics import Headline, Interval
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.thresholds import OperatingPoint, Wish
from pocketvision.tasks.truth import Truth

# Mistakes written to JSON; `TaskEvaluation.mistakes` has them all.
MISTAKES_IN_JSON = 100


class Metrics(Protocol):
    """The figures of a task on a set of images."""

    @property
    def images(self) -> int:
        """How many were measured."""

    @property
    def headline(self) -> Headline:
        """The one that people compare."""

    @property
    def text(self) -> str:
        """That, and what else belongs in a line: "accuracy 97.1% (95 %: 90.2% to 99.2%), F1 0.970"."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; no NaN."""

    def summary(self) -> dict[str, Any]:
        """What a bundle keeps of them, with `images` and what `headline_of` reads."""


class Comparison(Protocol):
    """A candidate's answers beside a reference's, on the same images."""

    @property
    def images(self) -> int:
        """How many."""

    @property
    def headline(self) -> Headline | None:
        """The candidate's; None without truth."""

    @property
    def reference_headline(self) -> Headline | None:
        """The reference's; None without truth."""

    @property
    def drop(self) -> float | None:
        """By how many percentage points the candidate's headline is worse; None without truth."""

    @property
    def drop_interval(self) -> Interval | None:
        """Its paired 95 % interval, in percentage points."""

    @property
    def kept(self) -> float:
        """How much of the reference's answers the candidate gives too, at most 1."""

    @property
    def closeness(self) -> tuple[float, ...]:
        """To rank candidates by: the greater, the better it keeps to the reference."""

    def within(self, points: float) -> bool:
        """Whether the drop is at most so many points, as far as these images tell."""

    def is_sure(self, points: float) -> bool:
        """Whether its whole interval is."""

    def can_be_sure(self, points: float) -> bool:
        """Whether that of any candidate could be with so few images."""

    def explain(self, points: float) -> str:
        """In a sentence that begins small: how large the drop is, where so many points are allowed."""

    def figures(self) -> dict[str, float]:
        """What a bundle's manifest keeps of a file, all numbers."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


class TaskMistake(Protocol):
    """An answer that was wrong, or far from right."""

    @property
    def path(self) -> str:
        """Of the image."""

    @property
    def text(self) -> str:
        """What was wrong, in a few words: "cat → dog 97 %", "2 cracks missed"."""

    @property
    def badness(self) -> float:
        """To sort by: the greater the worse."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


@dataclass(frozen=True, eq=False)
class TaskEvaluation:
    """One task on the n >= 1 images that have its truth.

    task: what the bundle says of it. paths: (n). records: (n), what each image added. mistakes: the worst first.
    """

    task: TaskManifest
    paths: tuple[str, ...]
    records: Sequence[Any]
    metrics: Metrics
    mistakes: Sequence[TaskMistake]

    @property
    def undefined(self) -> tuple[str, ...]:
        """The classes that no image has, of which nothing can be said; none where the task's metrics do not tell."""
        return tuple(getattr(self.metrics, "undefined", ()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: every figure by name, and the worst mistakes. No NaN."""
        return {
            **self.metrics.to_dict(),
            "mistakes": [mistake.to_dict() for mistake in self.mistakes[:MISTAKES_IN_JSON]],
            "mistake_count": len(self.mistakes),
        }

    def summary(self) -> dict[str, Any]:
        """What a bundle keeps: without a word about single files."""
        return {**self.metrics.summary(), "mistake_count": len(self.mistakes)}


@dataclass(frozen=True)
class MeasureOptions:
    """positive: with two classes, the one whose figures stand for the whole (None: the task's choice). fitted: whether the images
    served to fit the bundle's postprocessing, which is then not to be judged on them. seed: the bootstrap's and the folds'."""

    positive: str | None = None
    fitted: bool = False
    seed: int = 0


Answer = TypeVar("Answer")
Record = TypeVar("Record")


@dataclass(frozen=True)
class Deciding(Generic[Record]):
    """Of a task whose answers depend on thresholds (tasks/thresholds.py), which postprocessing keeps.

    choose: the task with the thresholds that wishes ask for on N >= 1 records with truth (none where the wishes are thresholds
    themselves); of two classes, the one that is meant where a wish names none. Raises UsageError for wishes that do not fit the
    task, or one another, UnmetWishError for those that the images do not allow.
    decide: the same records, answered as another state of the task says.
    points: by class, what the answers of records with truth, and of this state of the task, are.
    unset: what is answered where no threshold is set, in words.
    abstains: whether an answer with a low score can be unsure (--abstain-below).
    sets: the task whose answers come with sets of classes that hold the true one in a share of images, calibrated on N >= 1
    records with truth; None where an answer is not one of classes.
    """

    choose: Callable[[Sequence[Record], TaskManifest, Sequence[Wish], str | None], TaskManifest]
    decide: Callable[[Sequence[Record], TaskManifest], Sequence[Record]]
    points: Callable[[Sequence[Record], TaskManifest], Mapping[str, OperatingPoint]]
    unset: str
    abstains: bool = True
    sets: Callable[[Sequence[Record], TaskManifest, float], TaskManifest] | None = None


@dataclass(frozen=True)
class Measuring(Generic[Answer, Record]):
    """A task's half of every measurement.

    record: what one image adds, a few numbers. Takes the outputs (inputs of the image, …) by role, the answer, and the truth of
    this image; None where nobody said one.
    check: raises UsageError for options that do not fit.
    measure: the figures of N >= 1 records with truth. Raises PocketVisionError for what can not be measured.
    compare: records of the same images, in order; with truth, or all without.
    mistakes: of records and the images' paths, the worst first.
    headline_of: of what a bundle keeps; None where it has none.
    deciding: None where no threshold can be chosen.
    """

    record: Callable[[Tensors, Answer, Truth | None, TaskManifest], Record]
    check: Callable[[TaskManifest, MeasureOptions], None]
    measure: Callable[[Sequence[Record], TaskManifest, MeasureOptions], Metrics]
    compare: Callable[[Sequence[Record], Sequence[Record]], Comparison]
    mistakes: Callable[[Sequence[Record], Sequence[str], TaskManifest], Sequence[TaskMistake]]
    headline_of: Callable[[Mapping[str, Any]], Headline | None]
    deciding: Deciding[Record] | None = None


def kept_headline(measured: Mapping[str, Any], name: str) -> Headline | None:
    """The figure `name` of what a bundle keeps, with its interval from `intervals`. None where it is no number."""
    value, intervals = measured.get(name), measured.get("intervals")
    if not isinstance(value, int | float) or not isfinite(value):
        return None
    bounds = intervals.get(name) if isinstance(intervals, Mapping) else None
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(isinstance(e, int | float) for e in bounds):
        return Headline(name, float(value))
    return Headline(name, float(value), Interval(float(bounds[0]), float(bounds[1])))
