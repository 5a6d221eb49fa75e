"""`pocketvision convert`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.options import (
    BoxColumns,
    Format,
    GroupColumn,
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
    data: Annotated[Path, typer.Argument(help="A folder or file of pictures with boxes, in any format that is read.")],
    to: Annotated[str, typer.Option(help="coco, yolo, voc or labelme.", metavar="FORMAT")],
    out: Annotated[Path, typer.Option(help="A new folder; nothing is ever overwritten.", metavar="FOLDER")],
    format: Format = None,
    labels: Labels = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    group_column: GroupColumn = "group",
    box_columns: BoxColumns = None,
    images: Images = None,
) -> None:
    """Write pictures with boxes in another format: COCO, YOLO, Pascal VOC or LabelMe, from any that is read.

    Example:

        pocketvision convert cells/ --to yolo --out cells-yolo
    """
    from pocketvision.workflows.convert import convert as run_convert

    written = run_convert(
        data,
        to=to,
        out=out,
        format=format,
        labels=parse_labels(labels),
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        group_column=group_column,
        box_columns=parse_names(box_columns),
        images=images,
    )
    for line in written.lines:
        stdout().print(line, soft_wrap=True)
    stdout().print(
        f"{written.folder}: {counted(written.images, 'image')} with {written.boxes:,} boxes, as {to}", soft_wrap=True
    )
