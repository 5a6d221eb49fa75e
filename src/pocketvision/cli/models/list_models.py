"""`pocketvision models`."""

from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import stdout


def list_models(
    context: typer.Context,
    family: Annotated[str | None, typer.Option(help="Only this family, such as efficientnet_v2.")] = None,
    max_parameters: Annotated[float | None, typer.Option(help="At most so many parameters, such as 5e6.")] = None,
    max_macs: Annotated[float | None, typer.Option(help="At most so many multiply-accumulates, such as 4e8.")] = None,
    with_weights: Annotated[bool, typer.Option("--with-weights", help="Only those with published weights.")] = False,
    sort: Annotated[
        str | None, typer.Option(help="name, family, input_size, parameters, macs, activations or top1.")
    ] = None,
    json: JsonFile = None,
) -> None:
    """List the architectures: input, parameters, multiply-accumulates, published accuracy, and where weights come from.

    Examples:

        pocketvision models

        pocketvision models --max-macs 4e8 --with-weights --sort top1

        pocketvision models --json models.json

        pocketvision models info efficientnet_b0
    """
    if context.invoked_subcommand is not None:
        return
    from rich.table import Table

    from pocketvision.workflows.models import models

    summaries = models(
        family=family, max_parameters=max_parameters, max_macs=max_macs, with_weights=with_weights, sort=sort
    )
    write_json_option(json, [summary.to_dict() for summary in summaries])
    if str(json) == "-":
        return
    table = Table(
        "Model", "Input", "Parameters", "MACs", "Activations", "Top-1", "Weights", box=None, header_style="bold"
    )
    for column in (1, 2, 3, 4, 5):
        table.columns[column].justify = "right"
    for summary in summaries:
        table.add_row(
            summary.name,
            f"{summary.input_size} px",
            f"{summary.parameters / 1e6:.2f} M",
            f"{summary.macs / 1e6:,.0f} M",
            f"{summary.activations / 1e6:.1f} M",
            "" if summary.top1 is None else f"{summary.top1:.1f} %",
            " + ".join(dict.fromkeys(place.split(":")[0] for place in summary.weights)),
        )
    stdout().print(table)
