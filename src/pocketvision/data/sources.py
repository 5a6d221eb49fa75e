"""The table of sources: where labelled images may come from. A new source is one file and one row."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.image_files import existing_form
from pocketvision.data.image_folder import read_image_folder
from pocketvision.data.image_table import read_image_table
from pocketvision.data.samples import Samples
from pocketvision.data.small_classes import without_small_classes
from pocketvision.data.table_rows import TABLE_SUFFIXES, Columns
from pocketvision.errors import UsageError


@dataclass(frozen=True)
class Source:
    """One kind of source. `accepts` looks at an existing path; `read` takes path, labels or None, column names, and where
    relative paths start or None. names_files: whether its content names the images by paths."""

    expects: str
    accepts: Callable[[Path], bool]
    read: Callable[[Path, Sequence[str] | None, Columns, Path | None], Samples]
    names_files: bool


SOURCES: dict[str, Source] = {
    "image folder": Source(
        expects="a folder with one sub-folder of images for each class (or train/, val/, test/ above them)",
        accepts=Path.is_dir,
        read=lambda path, labels, _columns, _images: read_image_folder(path, labels=labels),
        names_files=False,
    ),
    "image table": Source(
        expects=f"a table ({', '.join(TABLE_SUFFIXES)}) with the columns path and label",
        accepts=lambda path: path.is_file() and path.suffix.lower() in TABLE_SUFFIXES,
        read=lambda path, labels, columns, images: read_image_table(
            path, labels=labels, columns=columns, images=images
        ),
        names_files=True,
    ),
}


def read_samples(
    path: str | Path,
    *,
    labels: Sequence[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    images: str | Path | None = None,
    min_per_class: int = 1,
) -> Samples:
    """Index the labelled images at `path` with the source that accepts it; no image is opened.

    labels: every class name in index order; None takes the names found, in natural order.
    The column names matter to tables alone, and so does images: where their relative paths start, None is the table's
    folder. min_per_class: classes with fewer images are left out, which is noted.

    Raises UsageError for a path that is absent, empty, of another kind or
    whose content does not hold together (each source says what it refuses).
    """
    place = Path(path)
    expected = "; or ".join(source.expects for source in SOURCES.values())
    if not os.path.lexists(place):
        place = existing_form(place)
    try:
        place.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, PermissionError):
            raise UsageError(f"{place}: no permission to look there.") from error
        raise UsageError(f"{place}: no such file or folder. Expected {expected}.") from error
    for source in SOURCES.values():
        if source.accepts(place):
            if images is not None and not source.names_files:
                raise UsageError(
                    f"--images {images} says where the paths of a table start, and {place} is a folder of images. "
                    "Leave it out, or name the table."
                )
            columns = Columns(path_column, label_column, split_column, group_column)
            samples = source.read(place, labels, columns, None if images is None else Path(images))
            return without_small_classes(samples, min_per_class)
    sheet = " Save the sheet as CSV (UTF-8)." if place.suffix.lower() in (".xlsx", ".xls", ".ods") else ""
    raise UsageError(f"{place}: this kind of file is no source of labelled images. Expected {expected}.{sheet}")
