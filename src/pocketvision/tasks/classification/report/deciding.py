"""What a bundle's thresholds do, as a curve with the chosen point, and as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.choosing import points, share_at, sweep_of
from pocketvision.tasks.classification.decision import Decision
from pocketvision.tasks.classification.metrics import ClassificationMetrics
from pocketvision.tasks.classification.record import ClassRecord, stacked
from pocketvision.tasks.manifest import CHOSEN_FOR, THRESHOLDS, TaskManifest
from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.reporting.charts import Look, finish, shortened
from pocketvision.tasks.thresholds import OperatingPoint, Sweep, Wish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More curves than this in one chart can not be followed by eye.
MAX_LINES = 6
MAX_ROWS = 50


@dataclass(frozen=True)
class Decided:
    """The section's words. wishes: as texts; images: that chose, None where the thresholds were told. rows: a class each."""

    wishes: tuple[str, ...]
    images: int | None
    rows: tuple[tuple[str, OperatingPoint], ...]


def decided(evaluation: TaskEvaluation) -> Decided | None:
    """None where the bundle has no thresholds. Where wishes name classes, those alone."""
    task = evaluation.task
    if THRESHOLDS not in task.postprocessing:
        return None
    chosen = task.postprocessing.get(CHOSEN_FOR, {})
    wishes, images = tuple(chosen.get("wishes", ())), chosen.get("images")
    found = points(evaluation.records, task)
    return Decided(wishes, images or None, tuple((name, found[name]) for name in _named(task, wishes)[:MAX_ROWS]))


def draw_thresholds(axes: "Axes", evaluation: TaskEvaluation, metrics: ClassificationMetrics, look: Look) -> None:
    """Two classes: precision and recall against the threshold. More: precision against recall while a class's threshold changes
    and the others stay. Dots are where the bundle stands."""
    records: Sequence[ClassRecord] = evaluation.records
    answers, thresholds = stacked(records), Decision.of(evaluation.task).thresholds
    assert thresholds is not None, "the section is there"
    names = evaluation.task.labels
    if metrics.positive is not None:
        own = names.index(metrics.positive)
        sweep = sweep_of(answers.probabilities, answers.labels, thresholds, own)
        _against_threshold(axes, sweep, float(thresholds[own]), look)
        finish(
            axes,
            look,
            look.translate("chart.threshold_of", name=shortened(metrics.positive)),
            look.translate("chart.share"),
        )
        return
    wishes = evaluation.task.postprocessing.get(CHOSEN_FOR, {}).get("wishes", ())
    for index, name in enumerate(_named(evaluation.task, wishes)[:MAX_LINES]):
        own = names.index(name)
        sweep = sweep_of(answers.probabilities, answers.labels, thresholds, own)
        point, colour = sweep.at(share_at(thresholds, own)), look.series[index % len(look.series)]
        axes.plot(sweep.recall, sweep.precision, color=colour, linewidth=1.4, label=shortened(name))
        _dot(axes, point.recall, point.precision, colour)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)
    finish(axes, look, look.translate("chart.recall"), look.translate("chart.precision"))


def _against_threshold(axes: "Axes", sweep: Sweep, threshold: float, look: Look) -> None:
    lines: tuple[tuple[str, NDArray[np.float64], float | None], ...] = (
        ("chart.precision", sweep.precision, sweep.at(threshold).precision),
        ("chart.recall", sweep.recall, sweep.at(threshold).recall),
    )
    for index, (name, values, here) in enumerate(lines):
        colour = look.series[index]
        axes.step(sweep.thresholds, values, where="mid", color=colour, linewidth=1.6, label=look.translate(name))
        _dot(axes, threshold, here, colour)
    axes.axvline(threshold, color=look.muted, linewidth=0.8, linestyle=":", label=f"{threshold:.3f}")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)


def _dot(axes: "Axes", x: float | None, y: float | None, colour: str) -> None:
    if x is not None and y is not None:
        axes.plot([x], [y], color=colour, marker="o", markersize=6, linestyle="none")


def _named(task: TaskManifest, wishes: Sequence[str]) -> list[str]:
    """The classes that wishes name; every one where none does."""
    named = {Wish.parse(text).of for text in wishes}
    return [name for name in task.labels if name in named] or [*task.labels]
