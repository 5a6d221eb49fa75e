"""A table of tags: a column of lists, one with a sign between tags, or a column for each tag."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pocketvision.data.natural_order import natural_key
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.image_table import read_rows
from pocketvision.data.sources.source import ASKED, LAYOUT, Source
from pocketvision.data.sources.table_look import Look, is_table, look_into
from pocketvision.data.table_rows import MARKS, TABLE_SUFFIXES, Columns
from pocketvision.data.tag_column import TagColumn
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.tags.truth import TAGS

COLUMN = "tags"
"""What the column may be called besides `label`."""


def evidence(path: Path) -> int | None:
    """A column of lists, one called `tags`, or no label but columns of 0 and 1 only."""
    if not is_table(path):
        return None
    look, columns = look_into(path), Columns()
    if look is None:
        return ASKED
    if {columns.label, COLUMN} & set(look.lists):
        return LAYOUT
    if columns.label in look.columns:
        return ASKED
    return LAYOUT if COLUMN in look.columns or _marks_alone(look, columns) else ASKED


def read(path: Path, options: SourceOptions) -> Samples:
    """The rows of `path`. Columns of marks, where there is no column of labels, are those of options.labels, or all that are
    neither path, split nor group.

    Raises UsageError, with the row, for what image_table.read_rows, TagColumn and marked refuse.
    """
    columns, look = options.columns, look_into(path)
    if look is not None and columns.label not in look.columns:
        others = look.others(columns)
        if columns.label == Columns().label and COLUMN in look.columns:
            columns = replace(columns, label=COLUMN)
        elif columns.label == Columns().label and others:
            columns = replace(columns, marks=_marks(path, others, options.labels))
    named = ", ".join(columns.marks[:3]) if columns.marks else columns.label
    return read_rows(path, TagColumn(path, named), columns, labels=options.labels, images=options.images, lists=True)


def _marks(table: Path, others: Sequence[str], labels: Sequence[str] | None) -> tuple[str, ...]:
    """In natural order, as they are then when the table is read once more; or as they were asked for."""
    absent = [name for name in labels or () if name not in others]
    if absent:
        raise UsageError(
            f"{table}: there is no column of labels, and none that is called as the tag {quoted(absent[0])} of --labels. Columns "
            f"found: {', '.join(others)}."
        )
    return tuple(sorted(others, key=natural_key) if labels is None else labels)


def _marks_alone(look: Look, columns: Columns) -> bool:
    others = look.others(columns)
    return len(others) > 1 and all(
        look.columns[name] and all(text.strip().lower() in MARKS for text in look.columns[name]) for name in others
    )


TAG_TABLE = Source(
    expects=f"a table ({', '.join(TABLE_SUFFIXES)}) with the columns path and {COLUMN} (a;b), or path and a column of "
    f"0 and 1 a tag",
    evidence=evidence,
    kinds=(TAGS,),
    read=read,
    names_files=True,
)
