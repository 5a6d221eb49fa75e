"""The Pareto front: what no other beats in everything; and its plot."""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.printable import printable


@dataclass(frozen=True)
class PlotPoint:
    """A point of the plot; `best` ones are on the front, `marked` is drawn as the choice."""

    name: str
    cost: float
    value: float
    best: bool
    marked: bool = False


def pareto_front(points: Mapping[str, Sequence[float]]) -> set[str]:
    """The names whose points no other point beats. A point is costs, all of which are better low (the negative of what is better
    high); one beats another when it is as low in all and lower in one."""
    return {
        name
        for name, point in points.items()
        if not any(
            all(o <= p for o, p in zip(other, point, strict=True)) and tuple(other) != tuple(point)
            for other in points.values()
        )
    }


def check_plot(path: Path) -> None:
    """Raise UsageError or MissingExtraError for a plot that could not be written: to be asked before the work."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--plot {path}: expected a name that ends in .png or .svg.")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("Drawing a plot", "train")


def write_plot(path: Path, points: Sequence[PlotPoint], *, cost: str, value: str, limit: float | None = None) -> None:
    """Values, better high, over cost on a logarithmic axis, as PNG or SVG. cost, value: the axes' labels. limit: of the cost."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    costs = [each.cost for each in points] or [1.0]
    middle = math.sqrt(min(costs) * max(costs))
    for each in points:
        color = "#c2410c" if each.marked else "#1f6f8b" if each.best else "#8a8a8a"
        axes.scatter(each.cost, each.value, color=color, zorder=3)
        if each.best or each.marked or len(points) <= _NAMED:
            right = each.cost > middle  # its name goes to the left of it, and stays inside the picture
            axes.annotate(
                printable(each.name),
                (each.cost, each.value),
                xytext=(-6 if right else 6, 5),
                textcoords="offset points",
                ha="right" if right else "left",
                fontsize=9,
                color=color,
                parse_math=False,
            )
    front = _steps(points)
    axes.plot([x for x, _ in front], [y for _, y in front], color="#1f6f8b", linewidth=1, label="Pareto front")
    if limit is not None:
        axes.axvline(limit, color="#c2410c", linestyle="--", linewidth=1, label="budget")
    axes.set(xlabel=cost, ylabel=value)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08, y=0.1)
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)


# So many points can all bear their names; of more, those on the front do.
_NAMED = 12


def _steps(points: Sequence[PlotPoint]) -> list[tuple[float, float]]:
    """The front of the two axes drawn, which is part of one over more."""
    front = pareto_front({each.name: (each.cost, -each.value) for each in points})
    return sorted((each.cost, each.value) for each in points if each.name in front)
