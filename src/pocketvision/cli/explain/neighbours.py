"""`pocketvision explain neighbours`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import BundleArgument, JsonFile
from pocketvision.cli.terminal import stdout


def neighbours(
    bundle: BundleArgument,
    images: Annotated[list[str], typer.Argument(help="Files, folders or globs.")],
    data: Annotated[
        Path | None, typer.Option(help="What it learned from.  [default: what the bundle's run kept, or its pictures]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for a page with the pictures.", metavar="FOLDER")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Neighbours of a picture.")] = 6,
    limit: Annotated[int, typer.Option(min=1, help="Pictures at most.")] = 100,
    json: JsonFile = None,
) -> None:
    """Show the training pictures that look most alike to the model.

    Example:

        pocketvision explain neighbours runs/leaves/bundle photos/ --out alike/
    """
    from pocketvision.workflows.explain import PAGE
    from pocketvision.workflows.explain_pictures import explain_neighbours

    found = explain_neighbours(bundle, images, data=data, out=out, most=most, limit=limit)
    plain = [
        {
            "picture": path,
            "neighbours": [
                {"file": str(each.file), "name": each.name, "similarity": round(each.similarity, 4)} for each in near
            ],
        }
        for path, near in found
    ]
    write_json_option(json, plain)
    if str(json) == "-":
        return
    for path, near in found:
        stdout().print(path, soft_wrap=True)
        for each in near:
            stdout().print(f"  {each.similarity:.3f}  {each.name}  {each.file}", soft_wrap=True)
    if out is not None:
        stdout().print(f"Page: {out / PAGE}", soft_wrap=True)
