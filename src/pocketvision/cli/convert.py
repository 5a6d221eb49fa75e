"""`pocketvision convert`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.options import (
    BoxColumns,
    Format,
    GroupColumn,
    Ignore,
    Images,
    LabelColumn,
    Labels,
    PathColumn,
    SplitColumn,
    parse_labels,
    parse_names,
)
from pocketvision.cli.terminal import stdout
from pocketvision.printable import counted


def convert(
    data: Annotated[
        Path, typer.Argument(help="A folder or file of pictures with boxes or masks, in any format that is read.")
    ],
    to: Annotated[str, typer.Option(help="Boxes: coco, yolo, voc or labelme. Masks: png or coco.", metavar="FORMAT")],
    out: Annotated[Path, typer.Option(help="A new folder; nothing is ever overwritten.", metavar="FOLDER")],
    format: Format = None,
    task: Annotated[str | None, typer.Option(help="detection (boxes) or segmentation (masks).", metavar="KIND")] = None,
    labels: Labels = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    group_column: GroupColumn = "group",
    box_columns: BoxColumns = None,
    images: Images = None,
    ignore: Ignore = None,
) -> None:
    """Write pictures with boxes in another format: COCO, YOLO, Pascal VOC or LabelMe; or with masks: PNG or COCO.

    Example:

        pocketvision convert cells/ --to yolo --out cells-yolo

        pocketvision convert outlines.json --to png --out masks
    """
    from pocketvision.data.box_writers.catalog import Written
    from pocketvision.workflows.convert import convert as run_convert

    written = run_convert(
        data,
        to=to,
        out=out,
        format=format,
        task=task,
        labels=parse_labels(labels),
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        group_column=group_column,
        box_columns=parse_names(box_columns),
        images=images,
        ignore=ignore,
    )
    for line in written.lines:
        stdout().print(line, soft_wrap=True)
    held = f"{written.boxes:,} boxes" if isinstance(written, Written) else "masks"
    stdout().print(f"{written.folder}: {counted(written.images, 'image')} with {held}, as {to}", soft_wrap=True)
