"""A table of numbers: a figure for each image."""

from pathlib import Path

from pocketvision.data.number_column import NumberColumn
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.image_table import read_rows
from pocketvision.data.sources.source import ASKED, LAYOUT, Source
from pocketvision.data.sources.table_look import is_table, look_into
from pocketvision.data.table_rows import TABLE_SUFFIXES, Columns
from pocketvision.tasks.number.truth import NUMBER

_FEWEST = 10
"""Distinct values, below which a column is one of classes."""


def evidence(path: Path) -> int | None:
    """A column `label` of many numbers with decimals, or of whole ones of which most are there once: what no classifier
    learns."""
    if not is_table(path):
        return None
    look = look_into(path)
    if look is None:
        return ASKED
    return LAYOUT if are_numbers(look.columns.get(Columns().label, [])) else ASKED


def are_numbers(texts: list[str]) -> bool:
    """Whether they are figures rather than names of classes that happen to be numbers."""
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return False
    distinct = set(values)
    if len(distinct) < _FEWEST:
        return False
    return len(distinct) > len(values) / 2 or any(not value.is_integer() for value in distinct)


def read(path: Path, options: SourceOptions) -> Samples:
    """The rows of `path`; the name of the column may tell the unit. Raises UsageError, with the row, for what
    image_table.read_rows and NumberColumn refuse."""
    column = NumberColumn(path, options.columns.label)
    return read_rows(path, column, options.columns, labels=options.labels, images=options.images)


NUMBER_TABLE = Source(
    expects=f"a table ({', '.join(TABLE_SUFFIXES)}) with the column path and one of numbers (--label-column)",
    evidence=evidence,
    kinds=(NUMBER,),
    read=read,
    names_files=True,
)
