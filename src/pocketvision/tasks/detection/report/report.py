"""The part of a report that is about objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketvision.tasks.detection.error_kinds import KINDS
from pocketvision.tasks.detection.metrics import ClassFigures, DetectionMetrics
from pocketvision.tasks.detection.mistakes import DetectionMistake
from pocketvision.tasks.detection.record import joined
from pocketvision.tasks.detection.report.pictures import worst_of_each_kind
from pocketvision.tasks.detection.report.plots import draw_f1, draw_precision_recall, draw_scores
from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.reporting.formats import percent
from pocketvision.tasks.reporting.parts import (
    ANSWERS,
    DATA,
    REST,
    WEAKEST,
    Advice,
    Run,
    Section,
    Subject,
    TaskReport,
    percent_column,
)

FEW = 20
"""Objects of a class, below which its figures tell little."""

WORTH_TELLING = 0.02
"""Of AP50 that would be won by mending a kind of error."""

FAR_OFF = 0.15
"""Of scores from the share that is right."""


def _metrics(evaluation: TaskEvaluation) -> DetectionMetrics:
    assert isinstance(evaluation.metrics, DetectionMetrics), "the row's own"
    return evaluation.metrics


def _sections(subject: Subject) -> Sequence[Section]:
    metrics, rows = _metrics(subject.evaluation), joined(subject.evaluation.records)
    curves = {
        "pr": lambda axes, look: draw_precision_recall(axes, metrics, rows, look),
        "f1": lambda axes, look: draw_f1(axes, metrics, rows, look),
    }
    return [
        Section("objects", curves),
        Section("errors"),
        Section("scores", {"reliability": lambda axes, look: draw_scores(axes, metrics, look)}),
    ]


def weakest_first(metrics: DetectionMetrics) -> list[ClassFigures]:
    """The classes with the lowest average precision first, those without objects last."""
    return sorted(metrics.per_class, key=lambda each: (each.ap is None, each.ap or 0.0))


def _values(subject: Subject) -> Mapping[str, Any]:
    metrics = _metrics(subject.evaluation)
    mistakes = [each for each in subject.evaluation.mistakes if isinstance(each, DetectionMistake)]
    found, objects = (sum(getattr(each.at, name) for each in metrics.per_class) for name in ("hits", "misses"))
    return {
        "classes": weakest_first(metrics),
        "pictures": worst_of_each_kind(mistakes, subject.root),
        "kinds": KINDS,
        "found": found,
        "all_objects": found + objects,
        "false_alarms": sum(each.at.false_alarms for each in metrics.per_class),
    }


def _advice(subject: Subject, run: Run) -> Sequence[Advice]:
    del run
    metrics, prefix = _metrics(subject.evaluation), subject.prefix
    link = f"{prefix}objects"
    weakest = weakest_first(metrics)[0]
    values = {"name": weakest.name, "precision": percent(weakest.ap50), "objects": f"{weakest.objects:,}"}
    found = [Advice("weakest", values, link, WEAKEST)]
    few = [each for each in metrics.per_class if each.objects < FEW]
    if few:
        counts = {"count": f"{len(few):,}", "name": few[0].name, "objects": f"{few[0].objects:,}", "few": f"{FEW}"}
        found.append(Advice("few", counts, link, DATA))
    worst = max(metrics.errors, key=lambda kind: metrics.errors[kind].gain)
    if metrics.errors[worst].gain >= WORTH_TELLING:
        gain = f"{100 * metrics.errors[worst].gain:.1f}"
        found.append(Advice(f"kind.{worst}", {"gain": gain}, f"{prefix}errors", ANSWERS))
    small, large = metrics.figures["ap_small"], metrics.figures["ap_large"]
    if small is not None and large is not None and small < large / 2:
        found.append(Advice("small", {"small": percent(small), "large": percent(large)}, link, DATA))
    if metrics.scores.error is not None and metrics.scores.error >= FAR_OFF:
        found.append(Advice("scores", {"error": percent(metrics.scores.error)}, f"{prefix}scores", REST))
    return found


REPORT = TaskReport(
    folder=Path(__file__).parent,
    sections=_sections,
    values=_values,
    advice=_advice,
    columns=(percent_column("ap50"), percent_column("ap75"), percent_column("ar_100")),
)
