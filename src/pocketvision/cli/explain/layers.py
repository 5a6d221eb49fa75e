"""`pocketvision explain layers`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import BundleArgument, JsonFile
from pocketvision.cli.terminal import stdout


def layers(
    bundle: BundleArgument,
    images: Annotated[
        list[str] | None, typer.Argument(help="Files, folders or globs: what layers put out for them, too.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for a page with histograms.", metavar="FOLDER")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Pictures at most.")] = 64,
    json: JsonFile = None,
) -> None:
    """Show what each layer holds: mean, standard deviation, range, zeros and dead channels of weights and outputs.

    Example:

        pocketvision explain layers runs/leaves/bundle photos/ --out layers/
    """
    from pocketvision.workflows.explain import PAGE, explain_layers

    found = explain_layers(bundle, images or (), out=out, limit=limit)
    write_json_option(json, [each.to_dict() for each in found])
    if str(json) == "-":
        return
    from rich.table import Table

    table = Table("Layer", "Shape", "Mean", "SD", "Zeros", "Dead", box=None, header_style="bold")
    for each in found:
        for what, own in (("", each.weights), (" (outputs)", each.outputs)):
            if own is not None:
                shape = " x ".join(map(str, each.shape)) if not what else each.kind
                dead = f"{own.dead} of {own.channels}" if own.channels else "–"
                numbers = (f"{own.mean:.3g}", f"{own.sd:.3g}", f"{own.zeros:.1%}", dead)
                table.add_row(each.name + what, shape, *numbers)
    stdout().print(table)
    if out is not None:
        stdout().print(f"Page: {out / PAGE}", soft_wrap=True)
