"""`pocketvision compare`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import (
    Batch,
    BoxColumns,
    DecodingWorkers,
    Device,
    Download,
    Format,
    GroupColumn,
    Ignore,
    Images,
    JsonFile,
    LabelColumn,
    Lang,
    MaxPixels,
    PathColumn,
    Positive,
    Root,
    SplitColumn,
    Threads,
    parse_names,
)
from pocketvision.cli.terminal import stdout

Model = Annotated[str, typer.Argument(help="A bundle, a run, a pre-trained network's name, or a server's address.")]


def compare(
    a: Model,
    b: Model,
    data: Annotated[
        Path, typer.Argument(help="An image folder, a CSV or Parquet table with labels, or a published set's name.")
    ],
    split: Annotated[str | None, typer.Option(help="Only this split of the data: train, val or test.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write compare.html and compare.json into this folder.")] = None,
    require: Annotated[
        str | None,
        typer.Option(metavar="better|not-worse", help="End with 1 unless B is significantly better, or not worse."),
    ] = None,
    positive: Positive = None,
    format: Format = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    group_column: GroupColumn = "group",
    box_columns: BoxColumns = None,
    images: Images = None,
    ignore: Ignore = None,
    root: Root = None,
    download: Download = False,
    batch: Batch = None,
    workers: DecodingWorkers = None,
    threads: Threads = None,
    device: Device = "cpu",
    max_pixels: MaxPixels = 50_000_000,
    lang: Lang = "en",
    json: JsonFile = None,
) -> None:
    """Compare two models on the same labelled images: who is better, is it significant, and on which pictures they differ.

    Classes by McNemar's exact test, boxes, masks, tags and numbers by a paired bootstrap. Images that either learned from are
    left out.

    Examples:

        pocketvision compare runs/leaves runs/leaves-int8 more-photos/ --out compared

        pocketvision compare runs/leaves http://127.0.0.1:8000 more-photos/ --require not-worse
    """
    from pocketvision.errors import unknown_name
    from pocketvision.workflows.compare import compare as run_compare

    if require not in (None, "better", "not-worse"):
        raise unknown_name("requirement", require, ("better", "not-worse"))
    with TrainingDisplay() as display:
        found = run_compare(
            a,
            b,
            data,
            split=split,
            out=out,
            positive=positive,
            format=format,
            path_column=path_column,
            label_column=label_column,
            split_column=split_column,
            group_column=group_column,
            box_columns=parse_names(box_columns),
            images=images,
            ignore=ignore,
            root=root,
            download=download,
            batch=batch,
            workers=workers,
            threads=threads,
            device=device,
            max_pixels=max_pixels,
            lang=lang,
            on_event=display,
        )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        for name, duel in found.duels.items():
            stdout().print(f"{f'{name}: ' if len(found.duels) > 1 else ''}{duel.verdict}.", soft_wrap=True)
            better = duel.better_on
            stdout().print(f"  A does better on {better['A']:,} images, B on {better['B']:,}", soft_wrap=True)
        if found.learned:
            said = "A or B learned from every one of these images: the figures flatter. Give others."
            stdout().print(f"  {said}", soft_wrap=True)
        if found.left_out:
            stdout().print(f"  Left out, as one of them learned from it: {found.left_out:,}", soft_wrap=True)
        if out is not None:
            stdout().print(f"Page: {out / 'compare.html'}", soft_wrap=True)
    winners = {duel.winner for duel in found.duels.values()}
    if (require == "better" and winners != {"B"}) or (require == "not-worse" and "A" in winners):
        raise typer.Exit(1)
