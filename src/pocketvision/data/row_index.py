"""The columns of labelled images while they are read row by row, whatever the rows come from."""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.data.class_column import ClassColumn
from pocketvision.data.delimited_text import is_utf8, not_utf8
from pocketvision.data.embedded_images import EmbeddedImages
from pocketvision.data.label_columns import LabelColumn
from pocketvision.data.left_out import LeftOutCounter, merged
from pocketvision.data.samples import Samples, split_of_cell
from pocketvision.data.table_paths import TablePaths, not_there
from pocketvision.data.table_rows import TableRow
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted

_KEPT = 100  # rows without a file that are looked at


class RowIndex:
    """Grows row by row. table: what the rows come from, for messages. root: where relative paths start. given: whether absolute
    paths that lead nowhere are looked up below it too. pictures: takes those that lie inside the rows; inside: of what. column:
    takes the labels; None is one of classes."""

    def __init__(
        self,
        table: Path,
        root: Path,
        *,
        given: bool = False,
        pictures: EmbeddedImages | None = None,
        inside: str = "table",
        column: LabelColumn | None = None,
    ) -> None:
        self.table = table
        self.root = root
        self.counter = LeftOutCounter()
        self.paths: list[str] = []
        self.column = column or ClassColumn(table)
        self.groups, self.splits = array("i"), array("b")
        self.group_ids: dict[str, int] = {}
        self.has_splits = self.has_groups = False
        self.missing: list[tuple[str, str]] = []
        self.missing_count = 0
        self._files = TablePaths(root, given=given)
        self._pictures = pictures or EmbeddedImages()
        self._inside = inside

    def add(self, row: TableRow) -> None:
        """Take one row in. A missing file is noted, to be reported with all others; the rest is refused at once."""
        path = self._path(row)
        self.column.add(row)
        if row.split is not None:
            self.has_splits = True
            self.splits.append(self._split(row))
        if row.group is not None:
            self.has_groups = True
            group = row.group.strip()
            self.groups.append(self.group_ids.setdefault(group, len(self.group_ids)) if group else -1)
        self.paths.append(path)

    def samples(self, labels: Sequence[str] | None) -> Samples:
        """Everything taken in, as Samples. Raises UsageError for missing files, unknown classes and an empty table."""
        if not self.paths:
            raise UsageError(f"{self.table}: the table holds no rows. Expected one image a row.")
        if self.missing_count:
            raise not_there(self.table, self._files, self.missing, self.missing_count, len(self.paths))
        splits = np.array(self.splits, dtype=np.int8) if self.has_splits else None
        training = None if splits is None or not (splits == 0).any() else np.flatnonzero(splits == 0).tolist()
        samples = Samples(
            root=self._pictures.folder if self._pictures.count else self.root,
            paths=self.paths,
            truth=self.column.truth(labels, training),
            groups=np.array(self.groups, dtype=np.int32) if self.has_groups else None,
            splits=splits,
            left_out=self.counter.result(),
            reading=self._reading(),
        )
        return _without_repetitions(samples)

    def _path(self, row: TableRow) -> str:
        """The path of the row's picture, as Samples has it."""
        if row.content is not None:
            if self._pictures.count == 0:  # from now on relative paths start at their folder
                self.paths = [str((self.root / path).absolute()) for path in self.paths]
            return self._pictures.add(row.content, row.path)
        if not row.path.strip():
            raise UsageError(f"{self._where(row)}: the path is empty. Give every row an image, or remove the row.")
        found = self._files.find(row.path)
        if found is not None:
            return str((self.root / found).absolute()) if self._pictures.count else found
        if not is_utf8(row.path):
            raise not_utf8(self.table)
        self.missing_count += 1
        if len(self.missing) < _KEPT:
            self.missing.append((row.place, row.path))
        return row.path

    def _split(self, row: TableRow) -> int:
        return split_of_cell(row.split or "", self._where(row))

    def _where(self, row: TableRow) -> str:
        return f"{self.table}, {row.place}"

    def _reading(self) -> tuple[str, ...]:
        lines = []
        if self._files.moved_from is not None:
            lines.append(f"Paths that start at {quoted(self._files.moved_from)} are read below {self.root}.")
        pictures = self._pictures
        if pictures.count:
            size = f"{pictures.size / 1e6:,.1f} MB"
            lines.append(
                f"Unpacked from the {self._inside}: {counted(pictures.count, 'picture')} ({size}), in {pictures.folder}."
            )
        return tuple(lines)


def _without_repetitions(samples: Samples) -> Samples:
    """Keep the first of rows that are the same in every column. The same image with another label or split stays."""
    if len(set(samples.paths)) == len(samples):
        return samples
    columns = [column.tolist() for column in (samples.splits, samples.groups) if column is not None]
    rows = zip(samples.paths, map(samples.said, range(len(samples))), *columns, strict=True)
    first: dict[tuple[str | bytes | int, ...], int] = {}
    counter = LeftOutCounter()
    for place, row in enumerate(rows):
        if first.setdefault(row, place) != place:
            counter.add("repeated_row", str(row[0]))
    kept = samples.select(list(first.values()))
    return replace(kept, left_out=merged(samples.left_out, counter.result()))
