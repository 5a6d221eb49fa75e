"""The table of sources: where labelled images may come from. A new source is one file and one row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.image_folder import read_image_folder
from pocketvision.data.image_table import read_image_table
from pocketvision.data.samples import Samples
from pocketvision.data.table_rows import TABLE_SUFFIXES, Columns
from pocketvision.errors import UsageError


@dataclass(frozen=True)
class Source:
    """One kind of source. `accepts` looks at an existing path; `read` takes path, labels or None, column names."""

    expects: str
    accepts: Callable[[Path], bool]
    read: Callable[[Path, Sequence[str] | None, Columns], Samples]


SOURCES: dict[str, Source] = {
    "image folder": Source(
        expects="a folder with one sub-folder of images for each class (or train/, val/, test/ above them)",
        accepts=Path.is_dir,
        read=lambda path, labels, _columns: read_image_folder(path, labels=labels),
    ),
    "image table": Source(
        expects=f"a table ({', '.join(TABLE_SUFFIXES)}) with the columns path and label",
        accepts=lambda path: path.is_file() and path.suffix.lower() in TABLE_SUFFIXES,
        read=lambda path, labels, columns: read_image_table(path, labels=labels, columns=columns),
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
) -> Samples:
    """Index the labelled images at `path` with the source that accepts it; no image is opened.

    labels: every class name in index order; None takes the names found, in natural order.
    The column names matter to tables alone. Raises UsageError for a path that is absent, empty, of another kind or
    whose content does not hold together (each source says what it refuses).
    """
    place = Path(path)
    expected = "; or ".join(source.expects for source in SOURCES.values())
    try:
        place.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, PermissionError):
            raise UsageError(f"{place}: no permission to look there.") from error
        raise UsageError(f"{place}: no such file or folder. Expected {expected}.") from error
    for source in SOURCES.values():
        if source.accepts(place):
            return source.read(place, labels, Columns(path_column, label_column, split_column, group_column))
    raise UsageError(f"{place}: this kind of file is no source of labelled images. Expected {expected}.")
