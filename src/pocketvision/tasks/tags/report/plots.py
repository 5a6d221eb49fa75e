"""The charts of tags. Every `draw_*` function draws on one matplotlib Axes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.reporting.charts import Look, finish, shortened
from pocketvision.tasks.tags.metrics import TagMetrics
from pocketvision.tasks.tags.record import TagRows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = 6
_NUMBERED = 12
_NAMED = 40


def draw_precision_recall(axes: "Axes", metrics: TagMetrics, rows: TagRows, look: Look) -> None:
    """Precision against recall of the tags with the lowest average precision; a dot at the threshold that ships."""
    assert rows.marks is not None, "they have truth"
    weakest = sorted(
        (each.average_precision, place)
        for place, each in enumerate(metrics.per_tag)
        if each.average_precision is not None
    )
    for line, (precision, place) in enumerate(weakest[:_LINES]):
        each, colour = metrics.per_tag[place], look.series[line % len(look.series)]
        hits = rows.marks[np.argsort(-rows.probabilities[:, place], kind="stable"), place].cumsum()
        recall, share = hits / each.support, hits / np.arange(1, len(hits) + 1)
        label = f"{shortened(each.name)}  {precision:.3f}"
        axes.plot(recall, share, color=colour, linewidth=1.5, drawstyle="steps-pre", label=label)
        if each.precision is not None and each.recall is not None:
            axes.plot([each.recall], [each.precision], color=colour, marker="o", markersize=5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)
    finish(axes, look, look.translate("chart.recall"), look.translate("chart.precision"))


def draw_together(axes: "Axes", names: tuple[str, ...], together: NDArray[np.int64], look: Look) -> None:
    """Which tags go together: of the images with the row's tag, the share that has the column's."""
    counts = np.diag(together)
    shares = together / np.maximum(counts[:, None], 1)
    axes.imshow(shares, cmap=look.heat, vmin=0, vmax=1, aspect="equal")
    if len(names) <= _NUMBERED:
        for row, column in np.ndindex(*shares.shape):
            colour = "white" if shares[row, column] > 0.6 else look.ink
            text = f"{together[row, column]:,}"
            axes.text(column, row, text, color=colour, ha="center", va="center", fontsize=8)
    shown = range(0, len(names), max(1, len(names) // _NAMED))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(list(shown), [shortened(names[place]) for place in shown], parse_math=False)
    finish(axes, look, look.translate("chart.also"), look.translate("chart.has"))
    axes.grid(visible=False)
    if len(names) > 3:
        axes.tick_params(axis="x", rotation=90)
