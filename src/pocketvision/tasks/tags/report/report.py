"""The part of a report that is about tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.reporting.formats import figure, percent
from pocketvision.tasks.reporting.parts import ANSWERS, DATA, WEAKEST, Advice, Column, Run, Section, Subject, TaskReport
from pocketvision.tasks.reporting.thumbnails import worst_pictures
from pocketvision.tasks.tags.metrics import TagFigures, TagMetrics
from pocketvision.tasks.tags.record import stacked
from pocketvision.tasks.tags.report.plots import draw_precision_recall, draw_together

PAIRS_SHOWN = 12
FEW = 10
"""Images of a tag, below which its figures tell little."""


@dataclass(frozen=True)
class Pair:
    """Two tags: in how many images they are together, in how many by chance if they had nothing to do with each other, and in how
    many the model says both."""

    one: str
    other: str
    together: int
    by_chance: float
    said: int


def _metrics(evaluation: TaskEvaluation) -> TagMetrics:
    assert isinstance(evaluation.metrics, TagMetrics), "the row's own"
    return evaluation.metrics


def _sections(subject: Subject) -> Sequence[Section]:
    metrics, names = _metrics(subject.evaluation), subject.evaluation.task.labels
    rows = stacked(subject.evaluation.records)
    return [
        Section("tags", {"pr": lambda axes, look: draw_precision_recall(axes, metrics, rows, look)}),
        Section("together", {"together": lambda axes, look: draw_together(axes, names, metrics.together, look)}),
        *([Section("mistakes")] if subject.evaluation.mistakes else []),
    ]


def weakest_first(metrics: TagMetrics) -> list[TagFigures]:
    """The tags with the lowest average precision first, those without images last."""
    return sorted(metrics.per_tag, key=lambda each: (each.average_precision is None, each.average_precision or 0.0))


def pairs_of(metrics: TagMetrics) -> list[Pair]:
    """The pairs that are together most often."""
    together, names = metrics.together, [each.name for each in metrics.per_tag]
    found = [
        Pair(
            names[one],
            names[other],
            int(together[one, other]),
            float(together[one, one] * together[other, other] / metrics.images),
            int(metrics.said_together[one, other]),
        )
        for one, other in zip(*np.triu_indices(len(names), 1), strict=True)
        if together[one, other]
    ]
    return sorted(found, key=lambda each: -each.together)[:PAIRS_SHOWN]


def _values(subject: Subject) -> Mapping[str, Any]:
    metrics = _metrics(subject.evaluation)
    most = max(metrics.per_tag, key=lambda each: each.support)
    return {
        "tags": weakest_first(metrics),
        "pairs": pairs_of(metrics),
        "pictures": worst_pictures(subject),
        "chance": float(np.mean([each.support for each in metrics.per_tag if each.support])) / metrics.images,
        "most": most,
        "few": FEW,
    }


def _advice(subject: Subject, run: Run) -> Sequence[Advice]:
    metrics, link = _metrics(subject.evaluation), f"{subject.prefix}tags"
    weakest = weakest_first(metrics)[0]
    values = {"name": weakest.name, "precision": percent(weakest.average_precision), "images": f"{weakest.support:,}"}
    found = [Advice("weakest", values, link, WEAKEST)]
    few = [each for each in metrics.per_tag if each.support < FEW]
    if few:
        found.append(
            Advice("few", {"count": f"{len(few):,}", "name": few[0].name, "images": f"{few[0].support:,}"}, link, DATA)
        )
    if subject.evaluation.mistakes:
        share = percent(1 - metrics.exact)
        found.append(Advice("mistakes", {"share": share}, f"{subject.prefix}mistakes", ANSWERS))
    del run
    return found


REPORT = TaskReport(
    folder=Path(__file__).parent,
    sections=_sections,
    values=_values,
    advice=_advice,
    columns=(
        Column("f1_micro", lambda metrics: figure(metrics.f1_micro)),
        Column("f1_macro", lambda metrics: figure(metrics.f1_macro)),
        Column("exact", lambda metrics: percent(metrics.exact)),
    ),
)
