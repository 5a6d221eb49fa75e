"""The rows of a JSON Lines table: an object a line, a member a column, and a list where an image has several labels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.table_rows import Columns, TableRow, column_places, marked
from pocketvision.errors import UsageError
from pocketvision.printable import quoted

Line = tuple[int, dict[str, Any]]


def json_rows(table: Path, columns: Columns, counter: LeftOutCounter, *, lists: bool = False) -> Iterator[TableRow]:
    """Yield the rows of `table`, one at a time; blank lines are counted. The first object's members are the columns.

    lists: whether the label may be a list; it becomes JSON again. Numbers are kept as text, null is an empty cell.

    Raises UsageError, with the line, for what `json_lines` refuses, an object that lacks a column of the first, and lists or
    objects where text belongs.
    """
    header: list[str] | None = None
    wanted: list[str] = []
    for number, found in json_lines(table, counter):
        if header is None:
            header = list(found)
            places = column_places(table, header, columns)
            split, group = (None if place is None else header[place] for place in places[2:])
            wanted = [name for name in (columns.path, *columns.marks, split, group) if name is not None]
            wanted += [] if columns.marks else [columns.label]
        where = f"{table}, line {number}"
        absent = [name for name in wanted if name not in found]
        if absent:
            raise UsageError(
                f"{where}: there is no {quoted(absent[0])}, which the first line has. Add it, or remove the line."
            )
        if columns.marks:
            said = marked(table, ("line", number), columns.marks, [found[name] for name in columns.marks])
        else:
            said = _said(found[columns.label], f"{where}: {quoted(columns.label)}", lists)
        yield TableRow(
            ("line", number),
            _text(found[columns.path], f"{where}: {quoted(columns.path)}"),
            said,
            None if split is None else _text(found[split], f"{where}: {quoted(split)}"),
            None if group is None else _text(found[group], f"{where}: {quoted(group)}"),
        )
    if header is None:
        raise UsageError(f'{table}: no rows. Expected an object a line, such as {{"path": "a.jpg", "label": "cat"}}.')


def json_lines(table: Path, counter: LeftOutCounter) -> Iterator[Line]:
    """The objects of a file with their lines, from 1. Raises UsageError for a file that can not be read, or is not UTF-8, and for
    a line that is no object."""
    try:
        with table.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    counter.add("blank_row", f"line {number}")
                    continue
                yield number, _object(line, f"{table}, line {number}")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{table}: this is not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error
    except OSError as error:
        raise UsageError(f"{table}: the table can not be read ({error.strerror or error}).") from error


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise UsageError(f"{where} is no JSON: {said}. Expected one object a line.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{where} is no object: {quoted(line.strip())}. Expected one object a line.")
    return found


def _said(value: Any, where: str, lists: bool) -> str:
    if not isinstance(value, list):
        return _text(value, where)
    if not lists:
        raise UsageError(
            f"{where} is a list: {quoted(json.dumps(value))}. To learn all labels of an image, say --task tags. A "
            "classifier needs one: write one text a line."
        )
    return json.dumps([_text(each, where) for each in value])


def _text(value: Any, where: str) -> str:
    """As a CSV would hold it."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise UsageError(f"{where} is {quoted(json.dumps(value))}; expected a text or a number.")
