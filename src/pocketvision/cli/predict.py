"""`pocketvision predict`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import stderr, stdout, write_json_option
from pocketvision.cli.options import JsonFile, MaxPixels


def predict(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, or the name of a pre-trained model.")],
    images: Annotated[list[str], typer.Argument(help="Files, folders, globs, or - for a list on standard input.")],
    out: Annotated[Path | None, typer.Option(help="Write rows to this .csv or .jsonl file.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels an image gets.")] = 1,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a run of the network.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads.  [default: one a core]")] = None,
    max_pixels: MaxPixels = 50_000_000,
    json: JsonFile = None,
) -> None:
    """Classify images with a bundle, through ONNX Runtime; rows keep the order of the images.

    An image that can not be read becomes a row with an error. Exit code 0: all answered; 1: some could not be read.

    Examples:

        pocketvision predict runs/leaves/bundle photo.jpg

        pocketvision predict runs/leaves/bundle "new/**/*.jpg" --out answers.csv --top-k 3

        find . -name "*.png" | pocketvision predict efficientnet_lite0 - --out answers.jsonl
    """
    from pocketvision.workflows.predict import predict as run_predict

    raise NotImplementedError
