"""The rows of a CSV, TSV or Parquet file, one at a time, as text."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pocketvision.data.delimited_text import Record, is_utf8, not_utf8, open_delimited, split_cells
from pocketvision.data.image_files import SUFFIXES
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.errors import UsageError
from pocketvision.printable import quoted, shortened

# What decides between equals: the delimiter is found out from the header. Excel saves UTF-16 with tabs as .txt.
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
JSON_SUFFIXES = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (*DELIMITERS, *JSON_SUFFIXES, ".parquet")

MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
"""What a column of marks may hold, in lower case."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called. `split` and `group` may be absent from it.

    marks: columns that stand in the place of `label`, each of them 1 in the rows that have what it is called and 0 in the others.
    box: four columns of boxes, their left, top, right and bottom; none finds them by the names that such columns have.
    """

    path: str = "path"
    label: str = "label"
    split: str = "split"
    group: str = "group"
    marks: tuple[str, ...] = ()
    box: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str, str, str]:
        """In the order of the fields."""
        return self.path, self.label, self.split, self.group


class TableRow(NamedTuple):
    """One row. `where` is its place as its file counts, for messages; an empty cell is "", an absent column None.

    content: the picture itself, where the table holds it. label: of lists and of marks a list, as JSON writes it.
    """

    where: tuple[str, int]
    path: str
    label: str
    split: str | None
    group: str | None
    content: bytes | None = None

    @property
    def place(self) -> str:
        """As in "line 7"."""
        return f"{self.where[0]} {self.where[1]}"


def delimited_rows(table: Path, columns: Columns, counter: LeftOutCounter) -> Iterator[TableRow]:
    """Yield the rows of a CSV or TSV without ever holding all of them; rows whose cells are all empty are counted.

    Raises UsageError for what open_delimited refuses, a table that lacks the path or label column, and quotes that swallow
    rows.
    """
    with open_delimited(table, columns.names, DELIMITERS.get(table.suffix.lower(), ",")) as text:
        if not all(map(is_utf8, text.header)):
            raise not_utf8(table)
        path, label, split, group = column_places(table, text.header, columns)
        assert path is not None
        marks = [text.header.index(name) for name in columns.marks]
        for record in text.records:
            cells = record.cells
            if record.last > record.line and _may_span_rows(table, cells, path, label):
                _refuse_spanning_rows(table, record, text.delimiter, len(text.header), path)
            if not any(cell.strip() for cell in cells):
                counter.add("blank_row", f"line {record.line}")
                continue
            if label is not None and '"' in cells[label] and record.raw.count('"') % 2:
                raise UsageError(
                    f'{table}, line {record.line}: the label {quoted(cells[label])} has a quote (") that is opened or closed '
                    "alone. Remove it, or put the cell in quotes and double it."
                )
            yield TableRow(
                ("line", record.line),
                cells[path],
                marked(table, ("line", record.line), columns.marks, [cells[place] for place in marks])
                if label is None
                else cells[label],
                None if split is None else cells[split],
                None if group is None else cells[group],
            )


def column_places(table: Path, header: Sequence[str], columns: Columns) -> tuple[int | None, ...]:
    """Where path, label, split and group are in `header`; None for an absent split or group. Raises UsageError."""
    found = ", ".join(shortened(name, 40) for name in header[:30]) or "none"
    usual = Columns()
    absent = ("label",) if columns.marks else ()
    for role in (role for role in ("path", "label", "split", "group") if role not in absent):
        name = getattr(columns, role)
        # Split and group may be absent, but not when they were asked for by another name.
        if name not in header and (role in ("path", "label") or name != getattr(usual, role)):
            further = (
                " To train, --group takes auto, none and patterns with (parentheses) too." if role == "group" else ""
            )
            raise UsageError(
                f"{table}: no column {quoted(name)} for the {role}. Columns found: {found}. {_headless(header)}"
                f"Name the right one with {role}_column (--{role}-column).{further}"
            )
    for name in (*columns.names, *columns.marks):
        if header.count(name) > 1:
            raise UsageError(
                f"{table}: {header.count(name)} columns are called {quoted(name)}. Columns found: {found}."
            )
    if unknown := [name for name in columns.marks if name not in header]:
        raise UsageError(f"{table}: no column {quoted(unknown[0])} for a tag. Columns found: {found}.")
    places = tuple(header.index(name) if name in header else None for name in columns.names)
    return (places[0], None, *places[2:]) if columns.marks else places


def marked(table: Path, where: tuple[str, int], names: Sequence[str], cells: Sequence[object]) -> str:
    """The names whose cells are 1, as a JSON list. Raises UsageError for a cell that is neither 0 nor 1."""
    chosen = []
    for name, cell in zip(names, cells, strict=True):
        text = str(cell).strip().lower()
        if text not in MARKS:
            raise UsageError(
                f"{table}, {where[0]} {where[1]}: the column {quoted(name)} holds {quoted(str(cell))}; expected 1 where "
                f"the image has "
                "this tag, else 0. Where the column is no tag, list those that are with --labels."
            )
        if MARKS[text]:
            chosen.append(name)
    return json.dumps(chosen)


def _headless(header: Sequence[str]) -> str:
    if any(_is_image_name(name) for name in header):
        return "The first line looks like a row: put a line with the columns' names, such as path,label, above it. "
    return ""


def _may_span_rows(table: Path, cells: Sequence[str], path: int, label: int | None) -> bool:
    """Whether a line end stands in another cell than the path of a file that is there, or a label that is a folder's name."""
    longer = {place for place, cell in enumerate(cells) if "\n" in cell or "\r" in cell}
    named = os.path.isfile(table.parent / cells[path])  # noqa: PTH113
    return not (
        named
        and longer <= {path, label}
        and (label not in longer or label is None or cells[label] in Path(cells[path]).parts)
    )


def _refuse_spanning_rows(table: Path, record: Record, delimiter: str, width: int, path: int) -> None:
    """Raise UsageError when a quoted cell over several lines holds what are rows: its quote was left open by mistake."""
    for offset, line in enumerate(record.raw.splitlines()[1:], 1):
        try:
            cells = split_cells(line.replace('"', ""), delimiter, "")
        except UsageError:
            continue
        if len(cells) == width and _is_image_name(cells[path]):
            raise UsageError(
                f'{table}, line {record.line}: a quote (") that is opened in this row goes on to line {record.last} and '
                f"swallows rows such as line {record.line + offset}, {quoted(line)}. Close it, or double it if it belongs "
                "to the text."
            )


def _is_image_name(text: str) -> bool:
    return os.path.splitext(text.strip())[1].lower() in SUFFIXES  # noqa: PTH122
