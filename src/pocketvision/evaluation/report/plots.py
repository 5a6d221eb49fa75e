"""The learning curves of a run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.evaluation.report.record import RunRecord
from pocketvision.progress import EpochRecord
from pocketvision.tasks.reporting.charts import Draw, Look, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator


def learning_charts(record: RunRecord) -> dict[str, Draw]:
    """By name; none without a history."""
    history, chosen = record.history, record.chosen
    if not history:
        return {}
    parts = ("train", "val") if record.watched.watched else ("val",)
    return {
        "loss": lambda axes, look: draw_history(axes, history, chosen, "loss", look),
        "accuracy": lambda axes, look: draw_history(axes, history, chosen, "accuracy", look, parts),
    }


def draw_history(
    axes: "Axes",
    history: Sequence[EpochRecord],
    chosen: EpochRecord | None,
    quantity: str,
    look: Look,
    parts: Sequence[str] = ("train", "val"),
) -> None:
    """The learning curve of `quantity` ("loss" or "accuracy") over the epochs of all stages, one after the other."""
    epochs = np.arange(1, len(history) + 1)
    for part in parts:
        index = 1 if part == "val" else 0
        values = [getattr(epoch, f"{part}_{quantity}") for epoch in history]
        axes.plot(
            epochs,
            values,
            color=look.series[index],
            linestyle=("--", "-")[index],
            linewidth=1.6,
            marker="o" if len(history) <= 40 else None,
            markersize=2.5,
            label=look.translate(f"chart.{part}"),
        )
    for place in range(1, len(history)):
        if history[place].stage != history[place - 1].stage:
            axes.axvline(place + 0.5, color=look.muted, linewidth=0.8, linestyle=":")
            name = look.translate("chart.stage", number=history[place].stage)
            axes.annotate(
                name,
                (place + 0.5, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, 2),
                textcoords="offset points",
                color=look.muted,
                fontsize=8,
                fontfamily=list(look.fonts),
                parse_math=False,
            )
    for epoch, figures in zip(epochs, history, strict=True):
        if chosen is not None and (figures.stage, figures.epoch) == (chosen.stage, chosen.epoch):
            axes.plot(
                [epoch],
                [getattr(figures, f"val_{quantity}")],
                color=look.series[1],
                marker="o",
                markersize=8,
                markerfacecolor="none",
                linestyle="none",
                label=look.translate("chart.chosen"),
            )
    axes.xaxis.set_major_locator(_whole_numbers())
    axes.set_xlim(0.5, max(len(history), 2) + 0.5)
    finish(axes, look, look.translate("chart.epoch"), look.translate(f"chart.{quantity}"))


def _whole_numbers() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, nbins="auto", steps=[1, 2, 5, 10])
