"""The learning curves of a run, and how it got on: its learning rates and the time of its epochs."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.robustness import Robustness
from pocketvision.progress import EpochRecord
from pocketvision.tasks.reporting.charts import Draw, Look, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
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


def robustness_charts(record: RunRecord) -> dict[str, Draw]:
    """By name, one for each task whose pictures were made worse; of several tasks the names say which."""
    found = record.main.further.get("robustness")
    if not isinstance(found, Robustness):
        return {}
    alone = len(found.clean) == 1
    return {
        "robustness" if alone else f"robustness_{task}": partial(draw_robustness, found, task) for task in found.clean
    }


def draw_robustness(found: Robustness, task: str, axes: "Axes", look: Look) -> None:
    """A line for each corruption, from severity 0, the pictures as they are, to the worst."""
    for place, (name, headlines) in enumerate(found.worse[task].items()):
        values = [found.clean[task].value, *(np.nan if each is None else each.value for each in headlines)]
        axes.plot(
            range(len(values)),
            values,
            color=look.series[place % len(look.series)],
            marker="o",
            markersize=3,
            linewidth=1.5,
            linestyle=("-", "--", ":")[place // 2 % 3],
            label=look.translate(f"worse.{name}"),
        )
    axes.set_ylim(min(0, axes.get_ylim()[0]), 1.02)
    finish(axes, look, look.translate("chart.severity"), found.clean[task].name)


def pace_charts(record: RunRecord) -> dict[str, Draw]:
    """By name: the learning rate at each epoch's end, and the seconds it took; none without a history."""
    history = record.history
    if not history:
        return {}
    return {
        "rate": lambda axes, look: draw_rates(axes, history, look),
        "seconds": lambda axes, look: draw_seconds(axes, history, look),
    }


def draw_rates(axes: "Axes", history: Sequence[EpochRecord], look: Look) -> None:
    """The learning rates of the epochs on a logarithmic axis. What was solved in closed form had none."""
    rates = [epoch.lr or None for epoch in history]
    axes.plot(np.arange(1, len(history) + 1), np.array(rates, np.float64), color=look.series[0], **_marked(history))
    if any(rates):
        axes.set_yscale("log")
        _plain_decades(axes.yaxis)
    _across_epochs(axes, history, look, look.translate("chart.rate"))


def draw_seconds(axes: "Axes", history: Sequence[EpochRecord], look: Look) -> None:
    """Seconds of each epoch, training and validation, from 0."""
    seconds = [epoch.seconds for epoch in history]
    axes.plot(np.arange(1, len(history) + 1), seconds, color=look.series[2], **_marked(history))
    axes.set_ylim(0, max(seconds) * 1.08 or 1)
    _across_epochs(axes, history, look, look.translate("chart.seconds"))


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
            **_marked(history),
            label=look.translate(f"chart.{part}"),
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
    _across_epochs(axes, history, look, look.translate(f"chart.{quantity}"))


def _marked(history: Sequence[EpochRecord]) -> dict[str, Any]:
    """Of a line over the epochs: single ones can be told where there is room."""
    return {"linewidth": 1.6, "marker": "o" if len(history) <= 40 else None, "markersize": 2.5}


def _across_epochs(axes: "Axes", history: Sequence[EpochRecord], look: Look, label: str) -> None:
    """What curves over the epochs share: the axis of whole epochs, and where stages begin."""
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
    axes.xaxis.set_major_locator(_whole_numbers())
    axes.set_xlim(0.5, max(len(history), 2) + 0.5)
    finish(axes, look, look.translate("chart.epoch"), label)


def _plain_decades(axis: "Axis") -> None:
    """Ticks at 1, 2 and 5 of each decade, as plain numbers: powers would need a font for mathematics."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _whole_numbers() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, nbins="auto", steps=[1, 2, 5, 10])


def sweep_chart(rates: Sequence[float], losses: Sequence[float], suggested: float | None) -> Draw:
    """Losses over rising learning rates on a logarithmic axis, and a line where one is suggested. In English."""

    def draw(axes: "Axes", look: Look) -> None:
        axes.plot(np.array(rates), np.array(losses), color=look.series[0])
        axes.set_xscale("log")
        axes.set_ylim(top=min(max(losses), 3 * losses[0]))
        if suggested is not None:
            axes.axvline(suggested, color=look.series[1], linestyle="--", label=f"suggested: {suggested:.2g}")
            axes.legend(frameon=False)
        finish(axes, look, "learning rate", "loss, smoothed")

    return draw
