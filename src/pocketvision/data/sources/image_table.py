"""The image table: a CSV, TSV, JSON Lines or Parquet file with one image a row."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pocketvision.data.class_column import ClassColumn
from pocketvision.data.json_rows import json_rows
from pocketvision.data.label_columns import LabelColumn
from pocketvision.data.parquet_rows import parquet_rows
from pocketvision.data.row_index import RowIndex
from pocketvision.data.samples import Samples
from pocketvision.data.table_rows import JSON_SUFFIXES, Columns, TableRow, delimited_rows
from pocketvision.errors import UsageError

_DEFAULT_COLUMNS = Columns()


def read_image_table(
    table: Path, *, labels: Sequence[str] | None = None, columns: Columns = _DEFAULT_COLUMNS, images: Path | None = None
) -> Samples:
    """Index the rows of `table`, in their order; labels are text, also "7".

    labels: every class name in index order; None takes the labels found (of the training rows, when there are splits)
    in natural order. images: where relative paths start, and below which absolute ones are looked up that lead nowhere;
    None is the table's folder. A group cell may be empty: no group. A row that repeats an earlier one in every column is
    left out and counted; other repetitions stay, for the audit to report. Pictures inside a Parquet table are unpacked into
    the cache folder.

    Raises UsageError, with the row, for what `delimited_rows`, `json_rows` and `parquet_rows` refuse, an empty path or label,
    several labels in a cell, an unknown split, a class that is not among `labels` (or, without them, has no training row), a file
    that is not there, and no rows at all.
    """
    return read_rows(table, ClassColumn(table), columns, labels=labels, images=images)


def read_rows(
    table: Path,
    column: LabelColumn,
    columns: Columns,
    *,
    labels: Sequence[str] | None,
    images: Path | None,
    lists: bool = False,
) -> Samples:
    """The same with any column of labels, which says what it refuses. lists: whether it may hold lists, where the format has
    such."""
    if images is not None and not images.is_dir():
        raise UsageError(
            f"--images {images}: there is no such folder. Expected the folder that relative paths start from."
        )
    index = RowIndex(table, table.parent if images is None else images, given=images is not None, column=column)
    rows: Iterator[TableRow]
    if table.suffix.lower() in JSON_SUFFIXES:
        rows = json_rows(table, columns, index.counter, lists=lists)
    elif table.suffix.lower() == ".parquet":
        rows = parquet_rows(table, columns, lists=lists)
    else:
        rows = delimited_rows(table, columns, index.counter)
    for row in rows:
        index.add(row)
    return index.samples(labels)
