"""changes(): what a person has made of boxes, such as those that a model drew."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from pocketvision.data.boxes.changes import Changes, changes_between
from pocketvision.data.boxes.reading import with_or_without_boxes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.tasks.detection.truth import DETECTION


def changes(
    before: str | Path,
    after: str | Path,
    *,
    format: str | None = None,
    path_column: str = "path",
    label_column: str = "label",
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
) -> Changes:
    """Compare the boxes of two data sets of the same pictures: added, removed, moved and renamed ones.

    Each may have a format of its own; the options are those of `check` and hold for both. Raises UsageError for data without
    boxes, and where no picture is in both.
    """
    read = partial(
        read_samples,
        format=format,
        task=None if format is not None else DETECTION,
        path_column=path_column,
        label_column=label_column,
        box_columns=box_columns,
        images=images,
    )
    return changes_between(*(with_or_without_boxes(partial(read, each)) for each in (before, after)))
