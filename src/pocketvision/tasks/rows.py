"""Predictions as lines of a CSV or JSON Lines file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pocketvision.csv_text import csv_bytes
from pocketvision.errors import UsageError
from pocketvision.growing_file import growing_file
from pocketvision.json_text import json_text
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import Kinds, columns, line, row_cells

DECIMALS = 6
"""Places that a number is written with in CSV."""

CSV, JSON_LINES = (".csv",), (".jsonl", ".ndjson")


class Row(Protocol):
    """What a line is made of: an image's path, and either its answers or an error."""

    @property
    def path(self) -> str:
        """As it was given."""

    @property
    def error(self) -> str | None:
        """The cause, without the path."""

    @property
    def answers(self) -> Answers:
        """By the tasks' names; none if there is an error."""


def check_suffix(path: Path | None) -> None:
    """Raise UsageError for a suffix that is neither .csv nor .jsonl (or .ndjson)."""
    if path is not None and not is_folder(path) and (suffix := path.suffix.lower()) not in (*CSV, *JSON_LINES):
        raise UsageError(f"{path}: rows are written as .csv or .jsonl; {suffix} is neither")


def is_folder(path: Path) -> bool:
    """Whether a name means a folder of files (answer_files.py): one that is there, or has no suffix."""
    return path.is_dir() or not path.suffix


@contextmanager
def row_sink(path: Path | None, kinds: Kinds, detail: Detail) -> Iterator[Callable[[Row], object]]:
    """A function that writes one row to `path` (or nowhere), as its suffix says; see growing_file. Raises UsageError for another
    suffix."""
    check_suffix(path)
    if path is None:
        yield lambda _: None
        return
    table = path.suffix.lower() in CSV
    header = csv_bytes(["path", *columns(kinds, detail), "error"]) if table else b""
    to_line = csv_row if table else json_row
    with growing_file(path, holds="rows", header=header) as write:
        yield lambda row: write(to_line(row, kinds, detail))


def csv_row(row: Row, kinds: Kinds, detail: Detail) -> bytes:
    """`path`, the columns of the tasks (tasks.wire) and `error`; for some kinds of answers several lines."""
    return b"".join(
        csv_bytes(
            [row.path, *(f"{cell:.{DECIMALS}f}" if isinstance(cell, float) else cell for cell in told), row.error or ""]
        )
        for told in row_cells(kinds, row.answers, detail)
    )


def json_row(row: Row, kinds: Kinds, detail: Detail) -> bytes:
    """`path`, `answers` with what stands beside them (tasks.wire), and `error`."""
    values = {"path": row.path, **line(kinds, row.answers, detail), "error": row.error}
    return (json_text(values) + "\n").encode()
