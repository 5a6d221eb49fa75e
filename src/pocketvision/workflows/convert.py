"""convert(): boxes or masks of any format that is read, written in one that other tools read."""

from collections.abc import Iterable
from pathlib import Path

from pocketvision.data.box_writers.catalog import Written
from pocketvision.data.mask_writers.catalog import WrittenMasks
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.written import kind_written, write_truth


def convert(
    data: str | Path,
    *,
    to: str,
    out: str | Path,
    format: str | None = None,
    task: str | None = None,
    labels: Iterable[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
    ignore: int | None = None,
) -> Written | WrittenMasks:
    """Write the boxes of `data` as the format `to` (coco, yolo, voc, labelme), or its masks (png, coco), with copies of the
    pictures, into the new folder `out`.

    task: detection or segmentation; None takes what `to` or `format` says, else boxes. format: as what the data is read; None
    finds out. labels: every class name in index order; None takes those found. The columns matter to tables alone; box_columns
    are four, of left, top, right and bottom. images: where the pictures are. ignore: the value of masks' pixels that are of
    no class. The result tells what was written, and in `lines`
    how the data was understood, what was wrong in it and what the format can not say.

    Raises UsageError for data without boxes or masks, a format that is none, and a folder that holds anything.
    """
    kind = kind_written(to, task)
    samples = read_samples(
        data,
        format=format,
        task=task if format is not None else kind,
        labels=labels,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        group_column=group_column,
        box_columns=box_columns,
        images=images,
        ignore=ignore,
    )
    return write_truth(samples, kind, to, Path(out))
