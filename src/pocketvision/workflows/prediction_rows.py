"""Predictions as lines of a CSV or JSON Lines file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pocketvision.csv_text import csv_bytes
from pocketvision.errors import UsageError
from pocketvision.growing_file import growing_file
from pocketvision.json_text import json_text

DECIMALS = 6
"""Places that a probability is written with."""


class Row(Protocol):
    """What a line is made of: an image's path, and either its most probable classes or an error."""

    @property
    def path(self) -> str:
        """As it was given."""

    @property
    def error(self) -> str | None:
        """The cause, without the path."""

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable classes, descending; none if there is an error."""


WriteLine = Callable[[Row, int], bytes]


@contextmanager
def row_sink(path: Path | None, top_k: int) -> Iterator[Callable[[Row], object]]:
    """A function that writes one row to `path` (or nowhere); see growing_file."""
    if path is None:
        yield lambda _: None
        return
    header, to_line = line_writer(path, top_k)
    with growing_file(path, holds="rows", header=header) as write:
        yield lambda row: write(to_line(row, top_k))


def line_writer(path: Path, top_k: int) -> tuple[bytes, WriteLine]:
    """How rows are written to a file of this suffix: its first bytes, and a function from (row, top_k) to a whole line.

    Raises UsageError for a suffix that is neither .csv nor .jsonl (or .ndjson).
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return csv_bytes(_csv_keys(top_k)), csv_row
    if suffix in (".jsonl", ".ndjson"):
        return b"", json_row
    raise UsageError(f"{path}: rows are written as .csv or .jsonl; {suffix or 'no suffix'} is neither")


def csv_row(row: Row, top_k: int) -> bytes:
    """`path`, `label`, `probability`, with top_k above 1 also `label_2`, `probability_2` …, and `error`."""
    cells: list[object] = [row.path]
    for label, probability in row.top(top_k):
        cells += [label, f"{probability:.{DECIMALS}f}"]
    cells += [""] * (2 * top_k + 1 - len(cells))
    return csv_bytes([*cells, row.error or ""])


def json_row(row: Row, top_k: int) -> bytes:
    """`path`, `label`, `probability`, with top_k above 1 also `top` as a list of [label, probability], and `error`."""
    top = [[label, round(probability, DECIMALS)] for label, probability in row.top(top_k)]
    label, probability = top[0] if top else (None, None)
    values: dict[str, Any] = {"path": row.path, "label": label, "probability": probability}
    if top_k > 1:
        values["top"] = top
    values["error"] = row.error
    return (json_text(values) + "\n").encode()


def _csv_keys(top_k: int) -> list[object]:
    more = [f"{key}_{place}" for place in range(2, top_k + 1) for key in ("label", "probability")]
    return ["path", "label", "probability", *more, "error"]
