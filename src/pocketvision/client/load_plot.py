"""The picture of a load test: latency over throughput, a line for each way and transport."""

from collections.abc import Sequence
from pathlib import Path

from pocketvision.atomic_files import replacing
from pocketvision.client.load_figures import LoadFigures
from pocketvision.printable import printable

_COLOURS = ("#1f6f8b", "#c2410c", "#4d7c0f", "#7e22ce", "#b45309", "#0f766e", "#be185d", "#525252")
_DASHES = ("-", "--")


def write_load_plot(path: Path, found: Sequence[LoadFigures]) -> None:
    """The 95th percentile of the latency over pictures a second, as PNG or SVG by the name's end. Round: closed loops, from few
    clients to many; crosses: open ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    ways = list(dict.fromkeys(each.way for each in found))
    transports = list(dict.fromkeys(each.transport for each in found))
    for way in ways:
        for transport in transports:
            own = [each for each in found if (each.way, each.transport) == (way, transport) and each.p95_ms is not None]
            colour, dash = _COLOURS[ways.index(way) % len(_COLOURS)], _DASHES[transports.index(transport) % 2]
            loops = [each for each in own if each.rate is None]
            axes.plot(
                [each.per_second for each in loops],
                [each.p95_ms or 0.0 for each in loops],
                color=colour,
                linestyle=dash,
                marker="o",
                label=printable(f"{way}, {transport}"),
            )
            opened = [each for each in own if each.rate is not None]
            axes.scatter(
                [each.per_second for each in opened], [each.p95_ms or 0.0 for each in opened], color=colour, marker="x"
            )
    axes.set(xlabel="pictures answered a second", ylabel="95 % of them within, ms")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)
