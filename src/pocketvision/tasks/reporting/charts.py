"""What charts share: how they look, and axes with names, a grid and a legend.

Nothing here touches pyplot or matplotlib's global settings: colours and fonts come with a Look.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketvision.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST_NAME = 22

Translate = Callable[..., str]


@dataclass(frozen=True)
class Look:
    """What charts share: the language, colours and fonts (several, tried in turn for every character)."""

    translate: Translate
    ink: str
    muted: str
    line: str
    series: tuple[str, ...]
    fonts: tuple[str, ...]
    heat: str = "Blues"


Draw = Callable[["Axes", Look], None]
"""Draws one chart."""


def finish(axes: "Axes", look: Look, x_label: str, y_label: str) -> None:
    """Give the axes their names, colours, fonts, grid and legend."""
    fonts = list(look.fonts)
    axes.set_facecolor("none")
    for place, spine in axes.spines.items():
        spine.set_visible(place in ("left", "bottom"))
        spine.set_color(look.line)
    axes.tick_params(color=look.line, labelcolor=look.muted, labelsize=8, labelfontfamily=fonts, length=3)
    axes.grid(visible=True, color=look.line, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    for write, text in ((axes.set_xlabel, x_label), (axes.set_ylabel, y_label)):
        write(text, color=look.muted, fontsize=8.5, fontfamily=fonts, parse_math=False)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(handles, labels, frameon=False, fontsize=8, labelcolor=look.ink, handlelength=1.6)
        for entry in legend.get_texts():
            entry.set_fontfamily(fonts)
            entry.set_parse_math(False)


def shortened(name: str) -> str:
    """`name` at a length that a chart has room for. matplotlib leaves names that begin with _ out of its legends."""
    name = printable(name)
    name = f" {name}" if name.startswith("_") else name
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
