"""A look into a table before it is read: its columns, and the first rows of those that are no paths, splits or groups."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pocketvision.data.delimited_text import open_delimited
from pocketvision.data.json_rows import json_lines
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.table_rows import DELIMITERS, JSON_SUFFIXES, TABLE_SUFFIXES, Columns
from pocketvision.errors import PocketVisionError

_ROWS = 20_000


@dataclass(frozen=True)
class Look:
    """columns: what the first rows hold, as text, by column and in the table's order. lists: the columns that hold lists."""

    columns: dict[str, list[str]]
    lists: tuple[str, ...] = ()

    def others(self, columns: Columns) -> tuple[str, ...]:
        """The columns that are neither path, split nor group."""
        return tuple(name for name in self.columns if name not in (columns.path, columns.split, columns.group))


def is_table(path: Path) -> bool:
    """Whether its name is a table's."""
    return path.is_file() and path.suffix.lower() in TABLE_SUFFIXES


def look_into(table: Path) -> Look | None:
    """None where it can not be read: reading it says why."""
    try:
        if table.suffix.lower() in JSON_SUFFIXES:
            return _json(table)
        return _parquet(table) if table.suffix.lower() == ".parquet" else _delimited(table)
    except (PocketVisionError, ImportError, OSError, ValueError):
        return None


def _delimited(table: Path) -> Look:
    with open_delimited(table, Columns().names, DELIMITERS.get(table.suffix.lower(), ",")) as text:
        rows = [record.cells for record in islice(text.records, _ROWS) if any(map(str.strip, record.cells))]
        return Look({name: [row[place] for row in rows] for place, name in enumerate(text.header)})


def _json(table: Path) -> Look:
    rows = [row for _, row in islice(json_lines(table, LeftOutCounter()), _ROWS)]
    names = rows[0] if rows else {}
    held = {name: [row.get(name) for row in rows] for name in names}
    lists = tuple(name for name, values in held.items() if any(isinstance(value, list) for value in values))
    texts = {name: [str(value) for value in values] for name, values in held.items() if name not in lists}
    return Look({name: texts.get(name, []) for name in names}, lists)


def _parquet(table: Path) -> Look:
    import pyarrow
    import pyarrow.parquet

    types = pyarrow.types
    with pyarrow.parquet.ParquetFile(table) as file:
        schema = file.schema_arrow
        lists = [each.name for each in schema if types.is_list(each.type) or types.is_large_list(each.type)]
        # Pictures are structures or bytes, and large.
        plain = [each.name for each in schema if not types.is_nested(each.type) and not types.is_binary(each.type)]
        first = next(file.iter_batches(_ROWS, columns=plain), None) if plain else None
        held = {name: [] if first is None else list(map(str, first.column(name).to_pylist())) for name in plain}
    return Look({each.name: held.get(each.name, []) for each in schema}, tuple(lists))
