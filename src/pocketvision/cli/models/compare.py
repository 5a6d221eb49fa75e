"""`pocketvision models compare`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import lines, stdout


def compare(
    names: Annotated[list[str], typer.Argument(help="Two or more architectures.")],
    measure: Annotated[bool, typer.Option("--measure", help="Also time them on this machine.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds for each figure that is measured.")] = 2.0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Accuracy over cost as a .png or .svg plot.")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Lay architectures side by side: parameters, MACs, size, accuracy and, with --measure, speed here.

    A star marks those that no other one beats in both accuracy and cost (the Pareto front).

    Examples:

        pocketvision models compare mobilenet_v2 efficientnet_lite0 efficientnet_b0

        pocketvision models compare mobilenet_v3_small mobilenet_v3_large --measure --plot front.png
    """
    from rich.table import Column, Table

    from pocketvision.evaluation.compare_models import compare_models

    with TrainingDisplay() as display:
        compared = compare_models(names, measure=measure, seconds=seconds, plot=plot, on_event=display)
    write_json_option(json, [each.to_dict() for each in compared])
    if str(json) == "-":
        return
    backends = [timing.backend for timing in compared[0].timings]
    columns = [Column(lines(backend, figure)) for backend in backends for figure in ("1 image", "in batches")]
    table = Table("Model", "Input", "Parameters", "MACs", "float32", "Top-1", *columns, box=None, header_style="bold")
    for column in range(1, 6 + len(columns)):
        table.columns[column].justify = "right"
    for each in compared:
        line = each.summary
        top1 = "" if line.top1 is None else f"{line.top1:.1f} %{' *' if each.best_of_its_cost else '  '}"
        timings = [
            text
            for timing in each.timings
            for text in (f"{timing.latency_ms:.1f} ms", f"{timing.images_per_second:.0f}/s")
        ]
        table.add_row(
            line.name,
            f"{each.size} px",
            f"{line.parameters / 1e6:.2f} M",
            f"{each.macs / 1e6:,.0f} M",
            f"{each.megabytes:.1f} MB",
            top1,
            *timings,
        )
    stdout().print(table)
