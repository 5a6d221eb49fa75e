"""Further columns of a table of images, by the images' files: what slices are made of."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pocketvision.data.delimited_text import open_delimited
from pocketvision.data.samples import Samples
from pocketvision.data.table_rows import DELIMITERS
from pocketvision.errors import UsageError, unknown_name

AUTO = "auto"
"""In the place of a column's name: only what is divided by without one."""


def further_columns(
    table: Path, names: Sequence[str], samples: Samples, *, path_column: str, images: Path | None
) -> dict[str, list[str]]:
    """By name, the cell of each of the n samples; empty for one whose row has none. Raises UsageError for what is no CSV or TSV
    with these columns."""
    if table.suffix.lower() not in DELIMITERS:
        raise UsageError(
            f"{table}: columns to divide images by are read from a CSV or TSV file alone. Write the table as one; {AUTO} divides "
            "any images by size and brightness."
        )
    with open_delimited(table, (path_column,), DELIMITERS[table.suffix.lower()]) as text:
        for name in (path_column, *names):
            if name not in text.header:
                raise unknown_name(f"column of {table}", name, text.header)
        at, places = text.header.index(path_column), [text.header.index(name) for name in names]
        root = table.parent if images is None else images
        cells = {
            (root / record.cells[at]).absolute(): [record.cells[place] for place in places] for record in text.records
        }
    rows = [cells.get(samples.file(index).absolute(), [""] * len(names)) for index in range(len(samples))]
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def slice_columns(
    names: Iterable[str] | None, source: Path, samples: Samples, path_column: str, images: str | Path | None
) -> dict[str, list[str]] | None:
    """The values of the table's columns that images are divided by."""
    if names is None:
        return None
    wanted = [name for name in names if name != AUTO]
    root = None if images is None else Path(images)
    return further_columns(source, wanted, samples, path_column=path_column, images=root) if wanted else {}
