"""`pocketvision models weights`."""

from dataclasses import asdict
from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import stdout


def weights(name: Annotated[str, typer.Argument(help="An architecture.")], json: JsonFile = None) -> None:
    """Show where an architecture's ImageNet weights are published, what they reach, and the preprocessing they want.

    The first line is what `--weights auto` takes (an installed package before anything that has to be fetched); any other is had
    by its location: `--weights LOCATION`.

    Examples:

        pocketvision models weights efficientnet_b1
    """
    from rich.table import Table

    from pocketvision.models.summary import KINDS
    from pocketvision.workflows.models import model_weights

    rows = model_weights(name)
    write_json_option(json, [{**asdict(row), "preprocessing": row.preprocessing.to_dict()} for row in rows])
    if str(json) == "-":
        return
    if not rows:
        stdout().print(f"No weights of {name} are published. Train it with --weights none, or give a file of yours.")
        return
    table = Table(
        "From", "Location", "Top-1", "Input", "Crop", "Resizing", "Mean", "Licence", box=None, header_style="bold"
    )
    for row in rows:
        each = row.preprocessing
        mean = "/".join(f"{value:g}" for value in each.mean)
        top1 = "" if row.top1 is None else f"{row.top1:.1f} %"
        table.add_row(
            KINDS[row.kind],
            row.location,
            top1,
            f"{each.height} px",
            f"{each.crop_share:.3f}",
            each.interpolation,
            mean,
            row.licence,
        )
    stdout().print(table)
