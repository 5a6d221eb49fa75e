"""`pocketvision import`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import JsonFile, WeightsKey, parse_labels
from pocketvision.cli.terminal import stdout
from pocketvision.printable import counted


def import_weights(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors file or torch checkpoint in our, timm's or torchvision's key layout; or a detector's .onnx."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The architecture, or the detector or segmenter of torchvision's, that the weights are of."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Class names in index order: a text file with one a line, or names with commas.  [default: COCO's, for 91 "
            "outputs of a detector; Pascal VOC's, for 21 of a segmenter]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The bundle's folder.  [default: NAME-bundle beside the weights]")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Input size in pixels.  [default: the architecture's]")] = None,
    crop_share: Annotated[
        float | None, typer.Option(help="Share of the resized short side that the crop keeps.")
    ] = None,
    interpolation: Annotated[str | None, typer.Option(help="bilinear, bicubic or bilinear_no_antialias.")] = None,
    fit: Annotated[
        str | None, typer.Option(help="What gives way where an image has another shape: crop, pad or stretch.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Three numbers with commas: what was subtracted in training.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Three numbers with commas: what was divided by in training.")] = None,
    weights_key: WeightsKey = None,
    json: JsonFile = None,
) -> None:
    """Make a bundle of somebody's trained weights and label list.

    An .onnx file is a detector's, with boxes (left, top, right and bottom in its input's pixels) and scores (a class each) for
    every candidate. Preprocessing is not in a file of weights: what you do not give is taken from the published weights of that
    key layout, and the command prints it. Compare it with how the weights were trained.

    Example:

        pocketvision import best.pth --model mobilenet_v2 --labels classes.txt --out leaves-bundle

        pocketvision import best.pth --model ssdlite320_mobilenet_v3_large --labels crack,stain
    """
    from pocketvision.workflows.import_weights import import_weights as run_import

    names = parse_labels(labels)
    with TrainingDisplay() as display:
        bundle = run_import(
            weights,
            model=model,
            labels=names or [],
            out=out,
            size=size,
            crop_share=crop_share,
            interpolation=interpolation,
            fit=fit,
            mean=_three(mean, "--mean"),
            std=_three(std, "--std"),
            weights_key=weights_key,
            on_event=display,
        )
    summary = {
        "bundle": str(bundle.folder),
        "labels": list(bundle.labels),
        "preprocessing": bundle.preprocessing.to_dict(),
        "agreement": bundle.manifest.agreement,
    }
    write_json_option(json, summary)
    if json is None or str(json) != "-":
        stdout().print(f"Bundle: {bundle.folder} ({counted(len(bundle.labels), 'class')})", soft_wrap=True)
        stdout().print(f"Preprocessing: {bundle.preprocessing}", soft_wrap=True)


def _three(value: str | None, option: str) -> tuple[float, float, float] | None:
    if value is None:
        return None
    from pocketvision.errors import UsageError

    try:
        first, second, third = (float(part) for part in value.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {value}: expected three numbers with commas, such as 0.485,0.456,0.406") from error
    return first, second, third
