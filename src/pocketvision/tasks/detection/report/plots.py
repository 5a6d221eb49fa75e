"""The charts of detection. Every `draw_*` function draws on one matplotlib Axes."""

from typing import TYPE_CHECKING

import numpy as np

from pocketvision.tasks.detection.metrics import DetectionMetrics
from pocketvision.tasks.detection.precision import Ranked
from pocketvision.tasks.detection.record import Rows
from pocketvision.tasks.reporting.charts import Look, finish, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = 6
"""More lines in one chart can not be followed by eye."""

FEW = 10
"""Detections in a bin of scores, below which it is hollow."""


def shown_classes(metrics: DetectionMetrics) -> list[int]:
    """The places of the classes with the lowest AP50, those without objects left out."""
    known = [(each.ap50, place) for place, each in enumerate(metrics.per_class) if each.ap50 is not None]
    return [place for _, place in sorted(known)[:_LINES]]


def draw_precision_recall(axes: "Axes", metrics: DetectionMetrics, rows: Rows, look: Look) -> None:
    """Precision against recall at IoU 0.5; a dot at the threshold that ships."""
    for line, place in enumerate(shown_classes(metrics)):
        each, curve, colour = metrics.per_class[place], Ranked.of(rows, place).curve(), look.series[line]
        label = f"{shortened(each.name)}  AP50 {each.ap50:.3f}"
        axes.plot(curve.recall, curve.precision, color=colour, linewidth=1.5, drawstyle="steps-pre", label=label)
        if each.at.precision is not None and each.at.recall is not None:
            axes.plot([each.at.recall], [each.at.precision], color=colour, marker="o", markersize=5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)
    finish(axes, look, look.translate("chart.recall"), look.translate("chart.precision"))


def draw_f1(axes: "Axes", metrics: DetectionMetrics, rows: Rows, look: Look) -> None:
    """F1 at IoU 0.5 against the lowest score that is shown; a dot at the threshold that ships."""
    for line, place in enumerate(shown_classes(metrics)):
        each, curve, colour = metrics.per_class[place], Ranked.of(rows, place).curve(), look.series[line]
        axes.plot(curve.scores, curve.f1, color=colour, linewidth=1.5, label=shortened(each.name))
        if each.at.f1 is not None:
            axes.plot([each.at.threshold], [each.at.f1], color=colour, marker="o", markersize=5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)
    finish(axes, look, look.translate("chart.threshold"), look.translate("chart.f1"))


def draw_scores(axes: "Axes", metrics: DetectionMetrics, look: Look) -> None:
    """The share of detections that is right against their score; hollow where they are few."""
    axes.plot([0, 1], [0, 1], color=look.muted, linewidth=0.8, linestyle=":")
    bins = metrics.scores.bins
    scores, right = (np.array([getattr(each, name) for each in bins]) for name in ("score", "right"))
    many = np.array([each.count >= FEW for each in bins], np.bool_)
    axes.plot(scores[many], right[many], color=look.series[0], linewidth=1.6)
    for chosen, filled in ((many, look.series[0]), (~many, "none")):
        axes.scatter(scores[chosen], right[chosen], s=28, facecolors=filled, edgecolors=look.series[0])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.03, 1.1)
    finish(axes, look, look.translate("chart.score"), look.translate("chart.share_right"))
