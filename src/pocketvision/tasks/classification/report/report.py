"""Classification's part of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.statistics import Interval
from pocketvision.tasks.classification.calibration import Calibration
from pocketvision.tasks.classification.coverage import Coverage, coverage
from pocketvision.tasks.classification.decision import Decision
from pocketvision.tasks.classification.metrics import ClassificationMetrics
from pocketvision.tasks.classification.mistakes import Mistake, own_mistakes
from pocketvision.tasks.classification.record import stacked
from pocketvision.tasks.classification.report.advice import SURE, advice
from pocketvision.tasks.classification.report.confusions import Confusion, anchor, confusions, worst_first
from pocketvision.tasks.classification.report.deciding import decided, draw_thresholds
from pocketvision.tasks.classification.report.plots import (
    draw_calibration,
    draw_confusion,
    draw_coverage,
    draw_precision_recall,
    draw_probabilities,
    draw_roc,
)
from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.reporting.charts import Draw
from pocketvision.tasks.reporting.formats import figure, percent
from pocketvision.tasks.reporting.parts import Column, Plot, Section, Subject, TaskReport
from pocketvision.tasks.reporting.thumbnails import thumbnail

PICTURES_SHOWN = 48
PICTURES_IN_A_GROUP = 6
CONFUSIONS_SHOWN = 10
FILES_SHOWN = 20
# A larger matrix is not readable as a table; the page shows the most frequent confusions then, and no more groups than this.
LARGEST_MATRIX = 25
GROUPS_SHOWN = 40
# The threshold that the page puts into words.
_QUOTED_THRESHOLD = 0.8
# The figures that have intervals, in the page's order.
_INTERVALS = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "macro_f1",
    "macro_precision",
    "weighted_f1",
    "weighted_precision",
    "roc_auc",
    "average_precision",
    "matthews",
    "cohen_kappa",
    "log_loss",
    "brier",
)
# With more than two classes these stand already: the first three as F1, precision and recall.
_SAID_ALREADY = ("macro_f1", "macro_precision", "balanced_accuracy")


@dataclass(frozen=True)
class IntervalRow:
    """A figure with its interval; method is a key of the texts: "wilson" or "bootstrap"."""

    name: str
    value: float
    interval: Interval | None
    method: str


@dataclass(frozen=True)
class Group:
    """A confusion as the page shows it: some of its mistakes as pictures (None when a file is gone), the rest by name."""

    confusion: Confusion
    pictures: tuple[tuple[Mistake, str | None], ...]
    rest: tuple[Mistake, ...]


def _metrics(evaluation: TaskEvaluation) -> ClassificationMetrics:
    assert isinstance(evaluation.metrics, ClassificationMetrics), "the row's own"
    return evaluation.metrics


def _calibration(evaluation: TaskEvaluation) -> Calibration:
    found = _metrics(evaluation).calibration
    assert found is not None, "an evaluation has one"
    return found


def _sections(subject: Subject) -> Sequence[Section]:
    evaluation = subject.evaluation
    metrics, calibration, answers = _metrics(evaluation), _calibration(evaluation), stacked(evaluation.records)
    there = [
        Section("confusion"),
        *([Section("mistakes")] if evaluation.mistakes else []),
        Section("classes"),
        Section("coverage", _coverage_charts(evaluation)),
        Section(
            "calibration",
            {
                "probability_distribution": lambda axes, look: draw_probabilities(axes, metrics, answers, look),
                "calibration": lambda axes, look: draw_calibration(axes, calibration, look),
            },
        ),
    ]
    if metrics.roc_curves:
        curves = {
            "roc": lambda axes, look: draw_roc(axes, metrics, look),
            "pr": lambda axes, look: draw_precision_recall(axes, metrics, look),
        }
        there.append(Section("curves", curves))
    return [*there, Section("intervals")]


def _coverage_charts(evaluation: TaskEvaluation) -> dict[str, Draw]:
    """With that of the thresholds, where the bundle has some."""
    metrics, answers = _metrics(evaluation), stacked(evaluation.records)
    scores = Decision.of(evaluation.task).scores(answers.probabilities)
    charts: dict[str, Draw] = {"coverage": lambda axes, look: draw_coverage(axes, scores, answers.labels, look)}
    if decided(evaluation) is not None:
        charts["thresholds"] = lambda axes, look: draw_thresholds(axes, evaluation, metrics, look)
    return charts


def _coverage(evaluation: TaskEvaluation) -> tuple[Coverage, ...]:
    answers = stacked(evaluation.records)
    return coverage(Decision.of(evaluation.task).scores(answers.probabilities), answers.labels)


def _values(subject: Subject) -> Mapping[str, Any]:
    evaluation = subject.evaluation
    metrics = _metrics(evaluation)
    confused = confusions(metrics, own_mistakes(evaluation.mistakes), subject.prefix)
    rows = _coverage(evaluation)
    return {
        "decided": decided(evaluation),
        "calibration": _calibration(evaluation),
        "baseline": max(metrics.per_class, key=lambda figures: figures.support),
        "intervals": _interval_rows(metrics),
        "confusions": confused[:CONFUSIONS_SHOWN],
        "groups": _groups(subject.root, len(metrics.class_names), confused),
        "anchor": anchor,
        "sure": SURE,
        "small_matrix": len(metrics.class_names) <= LARGEST_MATRIX,
        "classes": worst_first(metrics),
        "coverage": rows,
        "quoted": next(row for row in rows if row.threshold == _QUOTED_THRESHOLD),
    }


def _plots(subject: Subject) -> Mapping[str, Plot]:
    metrics = _metrics(subject.evaluation)
    side = min(3.6 + 0.25 * len(metrics.class_names), 14.0)
    return {"confusion_matrix": Plot(lambda axes, look: draw_confusion(axes, metrics, look), (side, side))}


def _figures(evaluation: TaskEvaluation) -> dict[str, Any]:
    return {"coverage": [row.to_dict() for row in _coverage(evaluation)]}


def _interval_rows(metrics: ClassificationMetrics) -> list[IntervalRow]:
    shares = {"accuracy"} if metrics.positive is None else {"accuracy", "precision", "recall"}
    rows = [
        IntervalRow(name, value, metrics.intervals.get(name), "wilson" if name in shares else "bootstrap")
        for name in _INTERVALS
        if (value := metrics.further.get(name, getattr(metrics, name, None))) is not None
    ]
    return [row for row in rows if metrics.positive is not None or row.name not in _SAID_ALREADY]


def _groups(root: Path, classes: int, confused: tuple[Confusion, ...]) -> tuple[Group, ...]:
    """Every confusion that a cell of the matrix can lead to; pictures for the most frequent, as many as a page can carry."""
    if classes > LARGEST_MATRIX:
        confused = confused[:GROUPS_SHOWN]
    groups, left = [], PICTURES_SHOWN
    for confusion in confused:
        shown = min(PICTURES_IN_A_GROUP, left, confusion.count)
        left -= shown
        pictures = tuple((mistake, thumbnail(root / mistake.path)) for mistake in confusion.mistakes[:shown])
        groups.append(Group(confusion, pictures, confusion.mistakes[shown : shown + FILES_SHOWN]))
    return tuple(groups)


REPORT = TaskReport(
    folder=Path(__file__).parent,
    sections=_sections,
    values=_values,
    advice=advice,
    plots=_plots,
    columns=(
        Column("f1", lambda metrics: figure(metrics.f1)),
        Column("balanced_accuracy", lambda metrics: percent(metrics.balanced_accuracy)),
        Column("roc_auc", lambda metrics: figure(metrics.roc_auc)),
    ),
    figures=_figures,
    watched=True,
)
