"""Throughput over latency: a line a model, runtime and number of threads, a point a batch."""

from pathlib import Path

from pocketvision.atomic_files import replacing
from pocketvision.benchmarking.figures import Benchmark, Timing
from pocketvision.printable import printable


def write_benchmark_plot(path: Path, found: Benchmark) -> None:
    """As PNG or SVG, by the name's ending; pareto.check_plot says beforehand whether it can be. Bars: to the 90th percentile."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    lines: dict[tuple[str, str, str, int], list[Timing]] = {}
    for each in found.timings:
        lines.setdefault(each.key[:4], []).append(each)
    drawn = {}
    for (model, size, backend, threads), own in lines.items():
        own = sorted(own, key=lambda each: each.batch)
        x, y = [each.p50 for each in own], [each.images_per_second for each in own]
        slower = [max(each.p90 - each.p50, 0.0) for each in own]
        name = printable(f"{Path(model).name if '/' not in model else model} {size}, {backend}, {threads} thread(s)")
        drawn[name] = axes.errorbar(x, y, xerr=[[0.0] * len(x), slower], marker="o", capsize=2, linewidth=1)
        for each in own:
            axes.annotate(str(each.batch), (each.p50, each.images_per_second), (4, 4), textcoords="offset points")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="milliseconds a batch (median, to the 90th percentile)",
        ylabel="images a second",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend([*drawn.values()], [*drawn], fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)
