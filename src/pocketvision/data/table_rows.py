"""The rows of a CSV, TSV or Parquet file, one at a time, as text."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from pocketvision.errors import MissingExtraError, UsageError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
TABLE_SUFFIXES = (*_DELIMITERS, _PARQUET)

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called. `split` and `group` may be absent from it."""

    path: str = "path"
    label: str = "label"
    split: str = "split"
    group: str = "group"


class Row(NamedTuple):
    """One row. `where` is its place as its file counts, for messages; an empty cell is "", an absent column None."""

    where: tuple[str, int]
    path: str
    label: str
    split: str | None
    group: str | None


def table_rows(table: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of `table` without ever holding all of them; blank lines of a CSV are passed over.

    Raises UsageError for a table that can not be read, lacks the path or label column, or has a row shorter than its
    header; MissingExtraError when Parquet can not be read.
    """
    try:
        yield from _parquet(table, columns) if table.suffix.lower() == _PARQUET else _csv(table, columns)
    except OSError as error:
        raise UsageError(f"{table}: the table can not be read ({error.strerror or error}).") from error


def not_utf8(table: Path) -> UsageError:
    """The error for a text table in another encoding, as Excel's plain "CSV" is."""
    return UsageError(f'{table}: not UTF-8 text. Save it as "CSV UTF-8" (in Excel: Save as, CSV UTF-8).')


def is_utf8(text: str) -> bool:
    """Whether `text` was read from valid UTF-8. Bytes that were not have become lone surrogates."""
    return text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text)


def _csv(table: Path, columns: Columns) -> Iterator[Row]:
    # Surrogates instead of strict: a file name need not be UTF-8 on Linux, and split.csv holds such names as they are.
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        delimiter = _DELIMITERS.get(table.suffix.lower(), ",")
        if delimiter == "," and ";" in first and "," not in first:  # Excel, where the comma is the decimal sign
            delimiter = ";"
        reader = csv.reader(chain([first], file), delimiter=delimiter, skipinitialspace=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not all(map(is_utf8, header)):
                raise not_utf8(table)
            places = _places(table, header, columns)
            width = max(place for place in places if place is not None) + 1
            path, label, split, group = places
            assert path is not None and label is not None
            for cells in reader:
                if not cells:
                    continue
                if len(cells) < width:
                    raise UsageError(
                        f"{table}, line {reader.line_num}: {len(cells)} cells, but {len(header)} columns in the header."
                    )
                yield Row(
                    ("line", reader.line_num),
                    cells[path],
                    cells[label],
                    None if split is None else cells[split],
                    None if group is None else cells[group],
                )
        except csv.Error as error:
            raise UsageError(f"{table}, line {reader.line_num}: not readable as CSV ({error}).") from error


def _parquet(table: Path, columns: Columns) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Reading a Parquet table", "train") from error
    try:
        file = pyarrow.parquet.ParquetFile(table)
        names = file.schema_arrow.names
        places = _places(table, names, columns)
        wanted = [names[place] for place in places if place is not None]
        number = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
            cells = {name: map(_text, batch.column(name).to_pylist()) for name in wanted}
            absent: list[None] = [None] * batch.num_rows
            by_column = [cells[names[place]] if place is not None else absent for place in places]
            for path, label, split, group in zip(*by_column, strict=True):
                number += 1
                yield Row(("row", number), path, label, split, group)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise UsageError(f"{table}: not readable as Parquet ({error}).") from error


def _text(value: Any) -> str:
    """A Parquet cell as its CSV would hold it: null and not-a-number are empty, numbers are kept as text."""
    return "" if value is None or value != value else str(value)


def _places(table: Path, header: Sequence[str], columns: Columns) -> tuple[int | None, ...]:
    """Where path, label, split and group are in `header`; None for an absent split or group."""
    found = ", ".join(header) or "none"
    usual = Columns()
    for role in ("path", "label", "split", "group"):
        name = getattr(columns, role)
        # Split and group may be absent, but not when they were asked for by another name.
        if name not in header and (role in ("path", "label") or name != getattr(usual, role)):
            raise UsageError(
                f"{table}: no column {name!r} for the {role}. Columns found: {found}. "
                f"Name the right one with {role}_column (--{role}-column)."
            )
    names = (columns.path, columns.label, columns.split, columns.group)
    for name in names:
        if header.count(name) > 1:
            raise UsageError(f"{table}: {header.count(name)} columns are called {name!r}. Columns found: {found}.")
    return tuple(header.index(name) if name in header else None for name in names)
