"""The rows of a Parquet file: text columns, and the Hugging Face layout, whose pictures lie inside the table."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.data.table_rows import Columns, TableRow, column_places, marked
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.printable import counted, quoted

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

_ROWS_AT_ONCE = 65_536
_PICTURES_AT_ONCE = 64
_BYTES, _PATH = "bytes", "path"
_PICTURE_COLUMNS = ("image", "img", "picture", "photo", "bytes")

Cell = Callable[[Any], str]


def parquet_rows(table: Path, columns: Columns, *, lists: bool = False) -> Iterator[TableRow]:
    """Yield the rows of `table`, some at a time. A column `{bytes, path}` (or bytes alone) holds the pictures themselves.

    Numbers of a Hugging Face ClassLabel become the names that the file's metadata gives them. lists: whether the label column may
    hold lists; they become JSON.

    Raises UsageError for a table that can not be read, lacks the path or label column, or has lists, structures or
    undecodable bytes where text belongs; MissingExtraError when Parquet can not be read.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Reading a Parquet table", "train") from error
    try:
        with pyarrow.parquet.ParquetFile(table) as file:
            yield from _rows(table, file, columns, lists)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise UsageError(f"{table}: not readable as Parquet ({error}).") from error
    except OSError as error:
        raise UsageError(f"{table}: the table can not be read ({error.strerror or error}).") from error


def _rows(table: Path, file: "pyarrow.parquet.ParquetFile", columns: Columns, lists: bool) -> Iterator[TableRow]:
    schema = file.schema_arrow
    names = list(schema.names)
    pictures = _picture_column(schema, columns)
    if pictures is not None:
        columns = replace(columns, path=pictures)
    places = column_places(table, names, columns)
    named = [names[place] for place in places if place is not None]
    cells: dict[str, Cell] = {
        name: _cell(table, file, name, lists and name == columns.label) for name in named if name != pictures
    }
    wanted = [*named, *(name for name in columns.marks if name not in named)]
    absent = [None]
    number = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE if pictures is None else _PICTURES_AT_ONCE, columns=wanted):
        taken = [
            absent * batch.num_rows if place is None else batch.column(names[place]).to_pylist() for place in places
        ]
        if columns.marks:
            marks = [batch.column(name).to_pylist() for name in columns.marks]
            taken[1] = [
                marked(table, ("row", number + place), columns.marks, row)
                for place, row in enumerate(zip(*marks, strict=True), 1)
            ]
        for picture, label, split, group in zip(*taken, strict=True):
            number += 1
            content = None
            if pictures is None:
                path = cells[columns.path](picture)
            else:
                content, path = _picture(picture)
            yield TableRow(
                ("row", number),
                path,
                label if columns.marks else cells[columns.label](label),
                None if places[2] is None else cells[columns.split](split),
                None if places[3] is None else cells[columns.group](group),
                content,
            )


def _picture_column(schema: "pyarrow.Schema", columns: Columns) -> str | None:
    """The column that holds pictures: the one asked for, or the only such one where there is no path column."""
    holding = [field.name for field in schema if _holds_pictures(field.type)]
    if columns.path in schema.names:
        return columns.path if columns.path in holding else None
    if columns.path != Columns().path:
        return None
    structures = [name for name in holding if schema.field(name).type.num_fields]
    named = [name for name in holding if name.lower() in _PICTURE_COLUMNS]
    found = structures or named
    return found[0] if len(found) == 1 else None


def _holds_pictures(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    types = pyarrow.types
    if types.is_struct(kind):
        # A column without any content is of no type.
        return any(field.name == _BYTES and (_is_binary(field.type) or types.is_null(field.type)) for field in kind)
    return _is_binary(kind)


def _is_binary(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _picture(cell: Any) -> tuple[bytes | None, str]:
    """Content and path of a picture's cell; one of both may be absent."""
    if isinstance(cell, dict):
        return cell.get(_BYTES), str(cell.get(_PATH) or "")
    return cell, ""


def _cell(table: Path, file: "pyarrow.parquet.ParquetFile", name: str, lists: bool = False) -> Cell:
    """How a column's values become text. Raises UsageError for structures, and for lists unless they are asked for."""
    import pyarrow

    kind = file.schema_arrow.field(name).type
    types = pyarrow.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        if not lists:
            raise _lists(table, file, name)
        names = _class_names(file.schema_arrow, name)
        return lambda values: "" if values is None else json.dumps([_member(value, names) for value in values])
    if types.is_nested(kind):
        raise UsageError(
            f"{table}: the column {quoted(name)} holds structures ({quoted(kind)}), not text. Expected one value a cell."
        )
    known = _class_names(file.schema_arrow, name)
    if known and types.is_integer(kind):
        return lambda value: known[value] if value is not None and 0 <= value < len(known) else _text(value)
    if _is_binary(kind):
        return lambda value: _decoded(table, name, value)
    return _text


def _member(value: Any, names: list[str]) -> str:
    """A member of a list, by the name of a Hugging Face ClassLabel where it is the number of one."""
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else _text(value)


def _text(value: Any) -> str:
    """A cell as its CSV would hold it: null and not-a-number are empty, numbers are kept as text."""
    return "" if value is None or value != value else str(value)


def _decoded(table: Path, name: str, value: bytes | None) -> str:
    try:
        return "" if value is None else value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{table}: the column {quoted(name)} holds bytes that are no text: {quoted(value)}."
        ) from error


def _class_names(schema: "pyarrow.Schema", name: str) -> list[str]:
    """The names of a Hugging Face ClassLabel, in index order; none for another column."""
    try:
        information = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][name]
        # Of lists the members' feature stands inside: [feature], or {"feature": feature}.
        inside = information[0] if isinstance(information, list) else information.get("feature", information)
        names = inside["names"]
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        return []
    return [str(each) for each in names] if isinstance(names, list) else []


def _lists(table: Path, file: "pyarrow.parquet.ParquetFile", name: str) -> UsageError:
    rows = several = number = 0
    example = ""
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[name]):
        for value in batch.column(0).to_pylist():
            number += 1
            rows += 1
            if value is not None and len(value) > 1:
                several += 1
                example = example or f"row {number}: {quoted(value)}"
    found = (
        f"several values in {several:,} of {counted(rows, 'row')} ({example})"
        if several
        else "each of at most one value"
    )
    return UsageError(
        f"{table}: the column {quoted(name)} holds lists: {found}. To learn all labels of an image, say --task "
        f"tags. A classifier needs "
        "one: write one text a row, and name that column with --label-column."
    )
