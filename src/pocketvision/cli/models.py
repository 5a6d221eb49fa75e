"""`pocketvision models`."""

from pocketvision.cli.display import stdout, write_json_option
from pocketvision.cli.options import JsonFile


def models(json: JsonFile = None) -> None:
    """List the architectures: input, parameters, multiply-accumulates, published accuracy, and where weights come from.

    Examples:

        pocketvision models

        pocketvision models --json models.json
    """
    from rich.table import Table

    from pocketvision.workflows.models import models as list_models

    summaries = list_models()
    write_json_option(json, [summary.to_dict() for summary in summaries])
    if str(json) == "-":
        return
    table = Table("Model", "Input", "Parameters", "MACs", "Top-1", "Weights", box=None, header_style="bold")
    for column in (1, 2, 3, 4):
        table.columns[column].justify = "right"
    for summary in summaries:
        table.add_row(
            summary.name,
            f"{summary.input_size} px",
            f"{summary.parameters / 1e6:.2f} M",
            f"{summary.macs / 1e6:.0f} M",
            "" if summary.top1 is None else f"{summary.top1:.1f} %",
            " + ".join(dict.fromkeys(place.split(":")[0] for place in summary.weights)),
        )
    stdout().print(table)
