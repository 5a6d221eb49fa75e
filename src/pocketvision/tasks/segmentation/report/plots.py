"""The charts of segmentation. Every `draw_*` function draws on one matplotlib Axes."""

from typing import TYPE_CHECKING

import numpy as np

from pocketvision.tasks.reporting.charts import Look, finish
from pocketvision.tasks.segmentation.choosing import sweep_of
from pocketvision.tasks.segmentation.metrics import SegmentationMetrics
from pocketvision.tasks.segmentation.record import SegmentationRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


def draw_certainty(axes: "Axes", metrics: SegmentationMetrics, look: Look) -> None:
    """The share of pixels that is right against the probability of the class that is said; large dots are many pixels."""
    axes.plot([0, 1], [0, 1], color=look.muted, linewidth=0.8, linestyle=":")
    chances, right, counts = (
        np.array([getattr(each, name) for each in metrics.bins], np.float64)
        for name in ("probability", "right", "count")
    )
    axes.plot(chances, right, color=look.series[0], linewidth=1.4)
    axes.scatter(chances, right, s=8 + 120 * counts / max(counts.sum(), 1), color=look.series[0])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.03, 1.05)
    finish(axes, look, look.translate("chart.probability"), look.translate("chart.share_right"))


def draw_threshold(
    axes: "Axes", records: "Sequence[SegmentationRecord]", name: str, threshold: float, look: Look
) -> None:
    """Precision, recall and F1 of the second of two classes against the threshold; a dot at the one that ships."""
    sweep = sweep_of(records, 1)
    for line, figure in enumerate(("precision", "recall", "f1")):
        values = getattr(sweep, figure)
        axes.plot(
            sweep.thresholds, values, color=look.series[line], linewidth=1.4, label=look.translate(f"chart.{figure}")
        )
    at = sweep.at(threshold)
    if at.f1 is not None:
        axes.plot([threshold], [at.f1], color=look.series[2], marker="o", markersize=6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)
    finish(axes, look, look.translate("chart.threshold", name=name), look.translate("chart.share"))
