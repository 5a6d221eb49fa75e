"""The part of a report that is about masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from pocketvision.tasks.segmentation.decode import thresholds_of
from pocketvision.tasks.segmentation.metrics import ClassFigures, SegmentationMetrics
from pocketvision.tasks.segmentation.mistakes import SegmentationMistake
from pocketvision.tasks.segmentation.report.pictures import worst_images
from pocketvision.tasks.segmentation.report.plots import draw_certainty, draw_threshold

PAIRS_SHOWN = 8
FEW = 10
"""Images that show a class, below which its figures tell little."""

FAR_OFF = 0.1
"""Of probabilities from the share that is right."""

WORTH_TELLING = 0.25
"""Of a class's pixels that are taken for another one."""


@dataclass(frozen=True)
class Pair:
    """Pixels of `meant` that were taken for `said` (empty: for nothing), and their share of all of `meant`."""

    meant: str
    said: str
    pixels: int
    share: float


def _metrics(evaluation: TaskEvaluation) -> SegmentationMetrics:
    assert isinstance(evaluation.metrics, SegmentationMetrics), "the row's own"
    return evaluation.metrics


def _sections(subject: Subject) -> Sequence[Section]:
    metrics, task, records = _metrics(subject.evaluation), subject.evaluation.task, subject.evaluation.records
    charts = {"certainty": lambda axes, look: draw_certainty(axes, metrics, look)}
    if len(task.labels) == 2:
        name, threshold = task.labels[1], thresholds_of(task).get(task.labels[1], 0.5)
        charts["threshold"] = lambda axes, look: draw_threshold(axes, records, name, threshold, look)
    sections = [Section("masks"), Section("certainty", charts)]
    return [*sections, *([Section("worst")] if subject.evaluation.mistakes else [])]


def weakest_first(metrics: SegmentationMetrics) -> list[ClassFigures]:
    """The classes with the lowest IoU first, those without figures last."""
    return sorted(metrics.per_class, key=lambda each: (each.iou is None, each.iou or 0.0))


def pairs_of(metrics: SegmentationMetrics) -> list[Pair]:
    """What is most often taken for what, by the share of the true class."""
    names, confusion = [each.name for each in metrics.per_class], metrics.confusion
    there = confusion.sum(axis=1)
    wrong = confusion / np.maximum(there, 1)[:, None]
    np.fill_diagonal(wrong, 0)
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS_SHOWN].tolist():
        meant, said = divmod(place, len(names) + 1)
        if wrong[meant, said] > 0:
            pixels, share = int(confusion[meant, said]), float(wrong[meant, said])
            found.append(Pair(names[meant], [*names, ""][said], pixels, share))
    return found


def _values(subject: Subject) -> Mapping[str, Any]:
    metrics = _metrics(subject.evaluation)
    found = [each for each in subject.evaluation.mistakes if isinstance(each, SegmentationMistake)]
    return {
        "classes": weakest_first(metrics),
        "pairs": pairs_of(metrics),
        "pictures": worst_images(found, subject.root),
    }


def _advice(subject: Subject, run: Run) -> Sequence[Advice]:
    del run
    metrics, prefix = _metrics(subject.evaluation), subject.prefix
    link = f"{prefix}masks"
    weakest = weakest_first(metrics)[0]
    values = {"name": weakest.name, "iou": percent(weakest.iou), "images": f"{weakest.images:,}"}
    found = [Advice("weakest", values, link, WEAKEST)]
    few = [each for each in metrics.per_class if each.images < FEW]
    if few:
        counts = {"count": f"{len(few):,}", "name": few[0].name, "images": f"{few[0].images:,}", "few": f"{FEW}"}
        found.append(Advice("few", counts, link, DATA))
    pairs = pairs_of(metrics)
    if pairs and pairs[0].share >= WORTH_TELLING and pairs[0].said:
        pair = pairs[0]
        told = {"meant": pair.meant, "said": pair.said, "share": percent(pair.share)}
        found.append(Advice("pair", told, link, ANSWERS))
    if metrics.calibration_error >= FAR_OFF:
        found.append(Advice("certainty", {"error": percent(metrics.calibration_error)}, f"{prefix}certainty", REST))
    return found


REPORT = TaskReport(
    folder=Path(__file__).parent,
    sections=_sections,
    values=_values,
    advice=_advice,
    columns=(percent_column("dice"), percent_column("pixel_accuracy"), percent_column("boundary_f1")),
)
