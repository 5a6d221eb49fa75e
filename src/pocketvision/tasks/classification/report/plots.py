"""The charts of a classifier. Every `draw_*` function draws on one matplotlib Axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.calibration import Bin, Calibration, Reliability
from pocketvision.tasks.classification.coverage import coverage
from pocketvision.tasks.classification.curves import Curve
from pocketvision.tasks.classification.metrics import ClassificationMetrics
from pocketvision.tasks.classification.record import ClassAnswers
from pocketvision.tasks.reporting.charts import Look, finish, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More lines than this in one chart can not be followed by eye.
MAX_LINES = 6
_PROBABILITY_BINS = 20
# A matrix with more cells than this a side has no room for its numbers.
_NUMBERED_CLASSES = 20
# A share of fewer images than this is too uncertain to be drawn as firmly as the others.
FEW = 10


def draw_roc(axes: "Axes", metrics: ClassificationMetrics, look: Look) -> None:
    """ROC curves with their areas, over the diagonal of guessing."""
    axes.plot([0, 1], [0, 1], color=look.muted, linewidth=0.8, linestyle=":")
    _draw_curves(axes, metrics.roc_curves, look)
    finish(axes, look, look.translate("chart.false_positive_rate"), look.translate("chart.true_positive_rate"))


def draw_precision_recall(axes: "Axes", metrics: ClassificationMetrics, look: Look) -> None:
    """Precision-recall curves with their average precision."""
    _draw_curves(axes, metrics.pr_curves, look, steps="steps-pre")
    finish(axes, look, look.translate("chart.recall"), look.translate("chart.precision"))


def draw_probabilities(axes: "Axes", metrics: ClassificationMetrics, answers: ClassAnswers, look: Look) -> None:
    """Two classes: the positive class's probability, by true class. More: the answer's probability, right and wrong."""
    if metrics.positive is not None:
        column = metrics.class_names.index(metrics.positive)
        values = answers.probabilities[:, column]
        parts = [(shortened(name), answers.labels == index) for index, name in enumerate(metrics.class_names)]
        label = look.translate("chart.probability_of", name=shortened(metrics.positive))
    else:
        values = answers.probabilities.max(axis=1)
        right = answers.probabilities.argmax(axis=1) == answers.labels
        parts = [(look.translate("chart.right"), right), (look.translate("chart.wrong"), ~right)]
        label = look.translate("chart.probability_of_answer")
    edges = np.linspace(0, 1, _PROBABILITY_BINS + 1)
    for index, (name, chosen) in enumerate(parts):
        counts, _ = np.histogram(values[chosen], bins=edges)
        colour = look.series[index]
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(counts, edges, color=colour, linewidth=1.4, label=name)
    if metrics.positive is not None:
        axes.axvline(0.5, color=look.muted, linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    _count_scale(axes, len(values))
    finish(axes, look, label, look.translate("chart.images_log"))


def draw_calibration(axes: "Axes", calibration: Calibration, look: Look) -> None:
    """How often answers were right against how sure they were, without and with scaling.

    Bins of fewer than FEW images are hollow, and no line leads to them. The numbers are images.
    """
    axes.plot([0, 1], [0, 1], color=look.muted, linewidth=0.8, linestyle=":")
    for reliability, name, index, width in (
        (calibration.before, "chart.before", 0, 1.2),
        (calibration.after, "chart.after", 1, 1.6),
    ):
        _draw_reliability(axes, reliability, look, look.translate(name, error=reliability.error), index, width)
    bins = (*calibration.before.bins, *calibration.after.bins)
    if any(row.images < FEW for row in bins):
        label = look.translate("chart.few", images=FEW)
        axes.scatter([], [], s=22, facecolors="none", edgecolors=look.muted, linewidths=1, label=label)
    # An answer of two classes has a probability of at least a half.
    axes.set_xlim(min(row.low for row in bins) - 0.01, 1.03)
    axes.set_ylim(-0.05, 1.08)
    finish(axes, look, look.translate("chart.confidence"), look.translate("chart.share_right"))


def draw_coverage(axes: "Axes", scores: NDArray[np.floating], labels: NDArray[np.int64], look: Look) -> None:
    """How many images are answered, and how many of those answers are right, against the lowest score; as in `coverage`."""
    thresholds = np.unique(np.append(np.linspace(0, 1, 201), np.sort(scores.max(axis=1))))
    rows = coverage(scores, labels, thresholds.tolist())
    answered = np.array([row.coverage for row in rows])
    right = np.array([np.nan if row.accuracy is None else row.accuracy for row in rows])
    many = np.array([row.answered >= FEW for row in rows])
    axes.plot(thresholds, answered, color=look.series[0], linewidth=1.6, label=look.translate("chart.answered"))
    axes.plot(
        thresholds,
        np.where(many, right, np.nan),
        color=look.series[2],
        linewidth=1.6,
        label=look.translate("chart.right_of_answered"),
    )
    axes.plot(thresholds, np.where(many, np.nan, right), color=look.series[2], linewidth=0.8, linestyle=":")
    lowest = min((row.threshold for row in rows if row.coverage < 1), default=0.0)
    axes.set_xlim(min(max(0.0, lowest - 0.05), 0.9), 1.005)
    axes.set_ylim(-0.02, 1.03)
    finish(axes, look, look.translate("chart.threshold"), look.translate("chart.share"))


def draw_confusion(axes: "Axes", metrics: ClassificationMetrics, look: Look) -> None:
    """The confusion matrix: counts as numbers, the share of the true class as shade."""
    counts = metrics.confusion_matrix
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=look.heat, vmin=0, vmax=1, aspect="equal")
    classes = len(counts)
    if classes <= _NUMBERED_CLASSES:
        for row, column in np.ndindex(classes, classes):
            colour = "white" if shares[row, column] > 0.6 else look.ink
            axes.text(
                column,
                row,
                f"{counts[row, column]:,}",
                color=colour,
                ha="center",
                va="center",
                fontsize=8 if classes > 8 else 10,
            )
    names = [shortened(name) for name in metrics.class_names]
    shown = range(0, classes, max(1, classes // 40))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(list(shown), [names[index] for index in shown], parse_math=False)
    finish(axes, look, look.translate("chart.predicted"), look.translate("chart.true"))
    axes.grid(visible=False)
    if classes > 3:
        axes.tick_params(axis="x", rotation=90)


def _draw_curves(axes: "Axes", curves: Sequence[Curve], look: Look, steps: str = "default") -> None:
    for index, curve in enumerate(curves[:MAX_LINES]):
        name = f"{shortened(curve.name)}  {curve.area:.3f}"
        axes.plot(
            curve.x, curve.y, color=look.series[index % len(look.series)], linewidth=1.6, drawstyle=steps, label=name
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)


def _draw_reliability(axes: "Axes", reliability: Reliability, look: Look, label: str, index: int, width: float) -> None:
    colour, after = look.series[index], index == 1
    many = [row for row in reliability.bins if row.images >= FEW]
    few = [row for row in reliability.bins if row.images < FEW]
    style = ("--", "-")[index]
    axes.plot(*_places(many), color=colour, linewidth=width, linestyle=style, marker="o", markersize=4, label=label)
    axes.scatter(
        *_places(few), s=22, facecolors="none", edgecolors=colour, linewidths=1, alpha=(0.35, 0.6)[index], zorder=3
    )
    if not after:
        return
    for row in reliability.bins:
        if row.interval is not None:
            strength = 0.5 if row.images >= FEW else 0.2
            axes.vlines(
                row.confidence, row.interval.low, row.interval.high, color=colour, linewidth=0.8, alpha=strength
            )
        axes.annotate(
            f"{row.images:,}",
            (row.confidence, row.accuracy),
            xytext=(4, -9),
            textcoords="offset points",
            color=look.muted,
            fontsize=7,
            fontfamily=list(look.fonts),
            parse_math=False,
        )


def _places(bins: Sequence[Bin]) -> tuple[list[float], list[float]]:
    return [row.confidence for row in bins], [row.accuracy for row in bins]


def _count_scale(axes: "Axes", most: int) -> None:
    """A logarithmic axis of counts that begins at 0, so that a bar of one image is seen beside a bar of hundreds."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_yscale("symlog", linthresh=1, linscale=0.4)
    ticks = [count for power in range(7) for count in (10**power, 3 * 10**power) if count <= max(most, 1)]
    axes.yaxis.set_major_locator(FixedLocator([0, *ticks]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(bottom=0)
