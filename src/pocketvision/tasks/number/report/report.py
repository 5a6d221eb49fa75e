"""The part of a report that is about numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.number.answer import short
from pocketvision.tasks.number.metrics import NumberMetrics
from pocketvision.tasks.number.record import stacked
from pocketvision.tasks.number.report.plots import Numbers, draw_errors, draw_scatter
from pocketvision.tasks.reporting.formats import percent
from pocketvision.tasks.reporting.parts import ANSWERS, DATA, WEAKEST, Advice, Column, Run, Section, Subject, TaskReport
from pocketvision.tasks.reporting.thumbnails import worst_pictures

_ENDS = 0.2
"""The part of the images with the lowest, and with the highest numbers, that is looked at for a lean to the middle."""
_LEAN = 0.5
"""In mean absolute errors: from which on it is worth a word."""


def _metrics(evaluation: TaskEvaluation) -> NumberMetrics:
    assert isinstance(evaluation.metrics, NumberMetrics), "the row's own"
    return evaluation.metrics


def _numbers(evaluation: TaskEvaluation) -> tuple[Numbers, Numbers]:
    values, truth = stacked(evaluation.records)
    assert truth is not None, "they have truth"
    return values, truth


def _sections(subject: Subject) -> Sequence[Section]:
    metrics, (values, truth) = _metrics(subject.evaluation), _numbers(subject.evaluation)
    charts = {
        "scatter": lambda axes, look: draw_scatter(axes, values, truth, metrics, look),
        "errors": lambda axes, look: draw_errors(axes, values, truth, metrics, look),
    }
    return [Section("numbers", charts), *([Section("mistakes")] if subject.evaluation.mistakes else [])]


def _values(subject: Subject) -> Mapping[str, Any]:
    return {"pictures": worst_pictures(subject), "short": short}


def lean(values: Numbers, truth: Numbers) -> tuple[float, float]:
    """The mean error of the images with the lowest numbers, and with the highest: above and below 0 where answers lean to the
    middle."""
    order, count = np.argsort(truth, kind="stable"), max(1, round(_ENDS * len(truth)))
    errors = (values - truth)[order]
    return float(errors[:count].mean()), float(errors[-count:].mean())


def _advice(subject: Subject, run: Run) -> Sequence[Advice]:
    del run
    metrics, link = _metrics(subject.evaluation), f"{subject.prefix}numbers"
    found = []
    if metrics.mae >= metrics.mae_of_mean:
        found.append(Advice("no_better", {}, link, ANSWERS))
    low, high = lean(*_numbers(subject.evaluation))
    if low > _LEAN * metrics.mae and high < -_LEAN * metrics.mae:
        found.append(Advice("lean", {"low": short(low), "high": short(-high)}, link, WEAKEST))
    if metrics.half_width is None:
        found.append(Advice("no_interval", {}, link, DATA))
    if subject.evaluation.mistakes:
        found.append(
            Advice("mistakes", {"count": f"{len(subject.evaluation.mistakes):,}"}, f"{subject.prefix}mistakes", ANSWERS)
        )
    return found


REPORT = TaskReport(
    folder=Path(__file__).parent,
    sections=_sections,
    values=_values,
    advice=_advice,
    columns=(
        Column("mae", lambda metrics: short(metrics.mae)),
        Column("rmse", lambda metrics: short(metrics.rmse)),
        Column("covered", lambda metrics: percent(metrics.covered)),
    ),
)
