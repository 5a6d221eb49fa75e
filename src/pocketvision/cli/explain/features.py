"""`pocketvision explain features`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.answer_options import listed
from pocketvision.cli.options import BundleArgument
from pocketvision.cli.terminal import stdout


def features(
    bundle: BundleArgument,
    image: Annotated[str, typer.Argument(help="One picture.")],
    out: Annotated[Path, typer.Option(help="A new folder for sheets and a page.", metavar="FOLDER")],
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers by name, with commas between them.  [default: every stage that runs]", metavar="NAMES"
        ),
    ] = None,
) -> None:
    """Show what layers see in a picture, channel by channel, and the filters of the first layer.

    Example:

        pocketvision explain features runs/leaves/bundle photo.jpg --layers stage1,head_conv --out seen/
    """
    from pocketvision.workflows.explain import explain_features

    stdout().print(f"Page: {explain_features(bundle, image, out=out, layers=listed(layers))}", soft_wrap=True)
