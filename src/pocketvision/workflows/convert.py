"""convert(): boxes of any format that is read, written in one that other tools read."""

from collections.abc import Iterable
from pathlib import Path

from pocketvision.data.box_writers.catalog import Written, write_boxes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.tasks.detection.truth import DETECTION


def convert(
    data: str | Path,
    *,
    to: str,
    out: str | Path,
    format: str | None = None,
    labels: Iterable[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
) -> Written:
    """Write the boxes of `data` as the format `to` (coco, yolo, voc, labelme), with copies of the pictures, into the new folder
    `out`.

    format: as what the data is read; None finds out. labels: every class name in index order; None takes those found. The columns
    matter to tables alone; box_columns are four, of left, top, right and bottom. images: where the pictures are. The result tells
    what was written, and in `lines` how the data was understood, what was wrong in it and what the format can not say.

    Raises UsageError for data without boxes, a format that is none, and a folder that holds anything.
    """
    samples = read_samples(
        data,
        format=format,
        task=None if format is not None else DETECTION,
        labels=labels,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        group_column=group_column,
        box_columns=box_columns,
        images=images,
    )
    written = write_boxes(samples, to, Path(out))
    told = (*samples.account, *(finding.message for finding in samples.found))
    return Written(written.folder, written.images, written.boxes, (*told, *written.lines))
