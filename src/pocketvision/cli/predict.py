"""`pocketvision predict`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.answer_options import Details, Margin, Of, Tasks, Then, listed, once
from pocketvision.cli.display import duration_and_rate, print_row, write_json_option
from pocketvision.cli.options import (
    BackendName,
    Batch,
    BundleArgument,
    DecodingWorkers,
    Device,
    JsonFile,
    MaxPixels,
    Scales,
    Threads,
    Tile,
    Tta,
    parse_names,
    parse_scales,
)
from pocketvision.cli.terminal import standard_input, stderr
from pocketvision.printable import counted


def predict(
    bundle: BundleArgument,
    images: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or - for standard input: a list of paths, or a picture.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write rows to this .csv or .jsonl file, or masks into this new folder; objects also as COCO's results (.json), "
            "or see --to."
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="coco, yolo, voc or labelme: --out is a new folder of pictures with the objects found, to correct and train on.",
            metavar="FORMAT",
        ),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="A COCO file, whose numbers of images and classes results have.", metavar="FILE")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="Save copies of the pictures, with their answers on them, in this new folder.", metavar="FOLDER"
        ),
    ] = None,
    map: Annotated[
        Path | None,
        typer.Option(
            help="Save copies of the pictures, with a heat map of where the answer is seen, in this new folder; of a bundle with "
            "a map (export --with-map).",
            metavar="FOLDER",
        ),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="How JSON Lines have masks: rle, png, polygons or none.  [default: rle; none beside files]",
            metavar="FORM",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels an image gets.")] = 1,
    tasks: Tasks = None,
    detail: Details = None,
    then: Then = None,
    of: Of = None,
    margin: Margin = 0.0,
    batch: Batch = None,
    workers: DecodingWorkers = None,
    threads: Threads = None,
    backend: BackendName = None,
    device: Device = "cpu",
    max_pixels: MaxPixels = 50_000_000,
    tile: Tile = None,
    scales: Scales = None,
    tta: Tta = None,
    unsure: Annotated[
        bool, typer.Option("--unsure", help="Say which pictures are unlike all that was learned: none of the classes.")
    ] = False,
    json: JsonFile = None,
) -> None:
    """Ask a bundle about images; rows keep the order of the images.

    An image that can not be read becomes a row with an error. Exit code 0: all answered; 1: some could not be read.

    Examples:

        pocketvision predict runs/leaves/bundle photo.jpg

        pocketvision predict runs/leaves/bundle photo.jpg --map where/

        pocketvision predict runs/leaves/bundle "new/**/*.jpg" --out answers.csv --top-k 3

        pocketvision predict runs/cells/bundle new/ --to labelme --out to-correct/

        pocketvision predict runs/people/bundle new/ --then runs/faces/bundle --of person --margin 0.1 --draw drawn/

        find . -name "*.png" | pocketvision predict efficientnet_lite0 - --out answers.jsonl
    """
    from pocketvision.tasks.details import details_of_texts
    from pocketvision.workflows.predict import predict as run_predict

    to_terminal = out is None and str(json) != "-"
    summary = run_predict(
        bundle,
        images,
        out=out,
        to=to,
        ids=ids,
        draw=draw,
        map=map,
        masks=masks,
        top_k=top_k,
        tasks=listed(tasks),
        details=details_of_texts(detail or ()),
        then=once(then),
        of=listed(of),
        margin=margin,
        batch=batch,
        workers=workers,
        threads=threads,
        backend=backend,
        device=device,
        max_pixels=max_pixels,
        tile=tile,
        scales=parse_scales(scales),
        tta=parse_names(tta),
        unsure=unsure,
        lines=standard_input() if "-" in images else None,
        on_row=(lambda row: print_row(row, top_k)) if to_terminal else None,
    )
    write_json_option(json, summary.to_dict())
    if not to_terminal:
        stderr().print(
            f"{counted(summary.images, 'image')} in {duration_and_rate(summary.images, summary.seconds)}, "
            f"{summary.failed} failed",
            soft_wrap=True,
        )
    for line in (*(each.line for each in summary.left_out), *summary.notes):
        stderr().print(line, soft_wrap=True)
    if summary.incomplete:
        raise typer.Exit(1)
