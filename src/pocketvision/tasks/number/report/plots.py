"""The charts of numbers. Every `draw_*` function draws on one matplotlib Axes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.number.metrics import NumberMetrics
from pocketvision.tasks.reporting.charts import Look, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 30
_MARGIN = 0.04
_MANY = 300
"""Points, from which on they are drawn smaller."""

Numbers = NDArray[np.float64]


def draw_scatter(axes: "Axes", values: Numbers, truth: Numbers, metrics: NumberMetrics, look: Look) -> None:
    """Answered against true, over the diagonal of perfect answers, within the band of the interval."""
    low, high = float(min(values.min(), truth.min())), float(max(values.max(), truth.max()))
    margin = _MARGIN * (high - low or 1.0)
    ends = np.array([low - margin, high + margin])
    axes.plot(ends, ends, color=look.muted, linewidth=0.8, linestyle=":")
    if metrics.half_width is not None:
        label = look.translate("chart.interval", share=f"{100 * (metrics.wanted or 0):.0f}%")
        band = (ends - metrics.half_width, ends + metrics.half_width)
        axes.fill_between(ends, *band, color=look.series[0], alpha=0.12, linewidth=0, label=label)
    axes.scatter(truth, values, s=16 if len(truth) < _MANY else 6, color=look.series[0], alpha=0.6, linewidths=0)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    unit = f" ({metrics.unit})" if metrics.unit else ""
    finish(axes, look, look.translate("chart.true") + unit, look.translate("chart.answered") + unit)


def draw_errors(axes: "Axes", values: Numbers, truth: Numbers, metrics: NumberMetrics, look: Look) -> None:
    """How far answers are off."""
    errors = values - truth
    counts, edges = np.histogram(errors, bins=min(_BINS, max(5, round(np.sqrt(len(errors))))))
    axes.stairs(counts, edges, fill=True, color=look.series[0], alpha=0.3)
    axes.stairs(counts, edges, color=look.series[0], linewidth=1.4)
    axes.axvline(0, color=look.muted, linewidth=0.8, linestyle=":")
    unit = f" ({metrics.unit})" if metrics.unit else ""
    finish(axes, look, look.translate("chart.error") + unit, look.translate("chart.images"))
