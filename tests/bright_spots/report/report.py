"""A section with the pictures that were worst, one chart and one piece of advice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bright_spots.measuring import SpotMetrics, counts_of
from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.reporting.charts import Look, finish
from pocketvision.tasks.reporting.parts import WEAKEST, Advice, Column, Plot, Run, Section, Subject, TaskReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _sections(subject: Subject) -> Sequence[Section]:
    def draw(axes: "Axes", look: Look) -> None:
        counts = counts_of(subject.evaluation.records)
        axes.scatter(counts[:, 2], counts[:, 1], color=look.series[0])
        finish(axes, look, look.translate("chart.there"), look.translate("chart.found"))

    return [Section("spots", {"counts": draw})]


def _values(subject: Subject) -> Mapping[str, Any]:
    return {"worst": subject.evaluation.mistakes[:10]}


def _advice(subject: Subject, run: Run) -> Sequence[Advice]:
    del run
    metrics = subject.evaluation.metrics
    assert isinstance(metrics, SpotMetrics)
    if metrics.hits == metrics.there:
        return []
    return [Advice("missed", {"count": str(metrics.there - metrics.hits)}, f"{subject.prefix}spots", WEAKEST)]


def _plots(subject: Subject) -> Mapping[str, Plot]:
    del subject
    return {}


def _figures(evaluation: TaskEvaluation) -> dict[str, Any]:
    return {"images_with_mistakes": len(evaluation.mistakes)}


REPORT = TaskReport(
    folder=Path(__file__).parent,
    sections=_sections,
    values=_values,
    advice=_advice,
    plots=_plots,
    columns=(Column("there", lambda metrics: str(metrics.there)),),
    figures=_figures,
)
