"""`pocketvision explain errors`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import BundleArgument, JsonFile
from pocketvision.cli.terminal import stdout


def errors(
    bundle: BundleArgument,
    data: Annotated[Path, typer.Argument(help="Labelled images, as `evaluate` takes them.")],
    out: Annotated[Path, typer.Option(help="A new folder for copies and a page.", metavar="FOLDER")],
    training: Annotated[
        Path | None, typer.Option(help="What it learned from.  [default: what the bundle's run kept, or its pictures]")
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test.  [default: test]")] = None,
    method: Annotated[str, typer.Option(help="As in explain maps.")] = "auto",
    checks: Annotated[bool, typer.Option("--checks/--no-checks", help="Check the maps.")] = True,
    most: Annotated[int, typer.Option(min=1, help="Mistakes.")] = 24,
    json: JsonFile = None,
) -> None:
    """Show a model's worst mistakes, where it looked, and the training pictures that they resemble.

    Example:

        pocketvision explain errors runs/leaves/bundle photos/ --split test --out mistakes/
    """
    from pocketvision.workflows.explain_pictures import explain_errors

    found = explain_errors(
        bundle, data, out=out, training=training, split=split, method=method, checks=checks, most=most
    )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        if found.overall is not None:
            stdout().print(found.overall.text, soft_wrap=True)
        stdout().print(f"Page: {found.page}", soft_wrap=True)
