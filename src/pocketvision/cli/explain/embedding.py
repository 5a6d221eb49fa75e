"""`pocketvision explain embedding`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.options import BundleArgument
from pocketvision.cli.terminal import stdout


def embedding(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option(help="A new folder for the page.", metavar="FOLDER")],
    data: Annotated[
        Path | None, typer.Option(help="Pictures.  [default: what the bundle's run kept, or its training pictures]")
    ] = None,
    layout: Annotated[str, typer.Option(help="pca, or umap (an extra).")] = "pca",
    limit: Annotated[int, typer.Option(min=2, help="Pictures at most.")] = 2000,
) -> None:
    """Draw pictures as points on a page: those that look alike to the model lie near each other.

    Example:

        pocketvision explain embedding runs/leaves/bundle --out points/
    """
    from pocketvision.workflows.explain_pictures import explain_embedding

    page = explain_embedding(bundle, data=data, out=out, layout=layout, limit=limit)
    stdout().print(f"Page: {page}", soft_wrap=True)
