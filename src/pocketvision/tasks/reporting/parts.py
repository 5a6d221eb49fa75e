"""A task's part of a report: sections from its own templates, charts, texts and advice. Nothing heavy is loaded here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.reporting.charts import Draw
from pocketvision.tasks.reporting.formats import percent

PlainValue = str | int | float | bool | None | Sequence[str] | Sequence[float] | Mapping[str, float]


@dataclass(frozen=True)
class ClassCounts:
    """How many images of a class each split holds.

    added: augmented copies that balancing put into the training split. weight: the class's weight in the loss.
    """

    name: str
    train: int
    val: int
    test: int
    added: int = 0
    weight: float = 1.0


class Run(Protocol):
    """What a report knows of a training beside its figures."""

    @property
    def recipe(self) -> Mapping[str, PlainValue] | None:
        """Every setting by its option's name; None where there was no training."""

    @property
    def classes(self) -> Sequence[ClassCounts]:
        """The images of each class; none where that is not known."""


@dataclass(frozen=True)
class Subject:
    """What a part is about. root: the folder that the images' paths start from. prefix: of every id; empty where the task is
    alone."""

    evaluation: TaskEvaluation
    root: Path
    prefix: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page, from the template section_NAME.html.j2. Its heading is the text section.NAME, in the contents
    nav.NAME. charts: by name, with the text figure.NAME; each is a file too."""

    name: str
    charts: Mapping[str, Draw] = field(default_factory=dict)


@dataclass(frozen=True)
class Plot:
    """A chart that is a file only; size in inches, (width, height)."""

    draw: Draw
    inches: tuple[float, float]


@dataclass(frozen=True)
class Column:
    """A figure beside the headline where sets of images are compared, with the text metric.NAME. cell: as it is written."""

    name: str
    cell: Callable[[Any], str]


def percent_column(name: str) -> Column:
    """Of the metrics' figure `name`, a share."""
    return Column(name, lambda metrics: percent(metrics.figures[name]))


# What is said first: pictures that are wrong, then answers, classes, data, the training, and what else.
SUSPECTS, ANSWERS, WEAKEST, DATA, TRAINING, PICTURES, REST = range(7)


@dataclass(frozen=True)
class Advice:
    """key: of the text "next.<key>", with `values` filled in. link: an id of the page to look at, if there is one. rank: what is
    said first."""

    key: str
    values: Mapping[str, str] = field(default_factory=dict)
    link: str | None = None
    rank: int = REST


@dataclass(frozen=True)
class TaskReport:
    """folder: holds templates/, with headline.html.j2 and the sections', and texts/LANGUAGE.json.

    sections: that there is something for, in order. values: what its templates read, beside `evaluation`, `metrics`, `task` and
    `prefix`. advice: in any order. columns: see Column. plots: by name. figures: for JSON, beside those of the metrics.
    watched: whether the share of right answers, which a training tells of its own images, is the headline's figure: then the two
    are compared.
    """

    folder: Path
    sections: Callable[[Subject], Sequence[Section]]
    values: Callable[[Subject], Mapping[str, Any]]
    advice: Callable[[Subject, Run], Sequence[Advice]]
    columns: tuple[Column, ...]
    plots: Callable[[Subject], Mapping[str, Plot]] = lambda _: {}
    figures: Callable[[TaskEvaluation], dict[str, Any]] = lambda _: {}
    watched: bool = False
