"""The image table: a CSV, TSV or Parquet file with one image a row."""

import os
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.class_names import ordered_class_names, spelled
from pocketvision.data.left_out import LeftOutCounter, merged
from pocketvision.data.samples import SPLIT_NAMES, SPLITS, Samples
from pocketvision.data.table_rows import Columns, Row, is_utf8, not_utf8, table_rows
from pocketvision.errors import UsageError

_DEFAULT_COLUMNS = Columns()
_LISTED = 5


def read_image_table(
    table: Path, *, labels: Sequence[str] | None = None, columns: Columns = _DEFAULT_COLUMNS
) -> Samples:
    """Index the rows of `table`, in their order. Relative paths start at the table's folder; labels are text, also "7".

    labels: every class name in index order; None takes the labels found (of the training rows, when there are splits)
    in natural order. A group cell may be empty: no group. A row that repeats an earlier one in every column is left out
    and counted; other repetitions stay, for the audit to report.

    Raises UsageError, with the row, for what `table_rows` refuses, an empty path or label, an unknown split, a class
    that is not among `labels` (or, without them, has no training row), a file that is not there, and no rows at all.
    """
    index = _Index(table)
    for row in table_rows(table, columns):
        index.add(row)
    return index.samples(labels)


class _Index:
    """The columns of a table while they grow."""

    def __init__(self, table: Path) -> None:
        self.table = table
        self.root = table.parent
        self.paths: list[str] = []
        self.labels, self.groups, self.splits = array("i"), array("i"), array("b")
        self.label_ids: dict[str, int] = {}
        self.group_ids: dict[str, int] = {}
        self.has_splits = self.has_groups = False
        self.missing: list[str] = []
        self.missing_count = 0
        self._root_text = f"{self.root.absolute()}{os.sep}"

    def add(self, row: Row) -> None:
        """Take one row in. A missing file is noted, to be reported with all others; the rest is refused at once."""
        path = self._path(row)
        label = self.label_ids.get(row.label)
        if label is None:
            label = self._new_label(row)
        if row.split is not None:
            self.has_splits = True
            self.splits.append(self._split(row))
        if row.group is not None:
            self.has_groups = True
            group = row.group.strip()
            self.groups.append(self.group_ids.setdefault(group, len(self.group_ids)) if group else -1)
        self.labels.append(label)
        self.paths.append(path)
        # Plain text: a Path a row would take as long again as asking the file system.
        if not os.path.isfile(os.path.join(self._root_text, path)):  # noqa: PTH113, PTH118
            if not is_utf8(path):
                raise not_utf8(self.table)
            self.missing_count += 1
            if len(self.missing) < _LISTED:
                self.missing.append(f"{row.where[0]} {row.where[1]}: {row.path}")

    def samples(self, labels: Sequence[str] | None) -> Samples:
        """Everything taken in, as Samples. Raises UsageError for missing files, unknown classes and an empty table."""
        if not self.paths:
            raise UsageError(f"{self.table}: the table holds no rows. Expected one image a row.")
        if self.missing_count:
            raise UsageError(
                f"{self.table}: {self.missing_count} of {len(self.paths)} rows name a file that is not there: "
                f"{'; '.join(self.missing)}{' …' if self.missing_count > len(self.missing) else ''}. "
                f"Relative paths start at {self.root.absolute()}."
            )
        raw = np.array(self.labels, dtype=np.int32)
        splits = np.array(self.splits, dtype=np.int8) if self.has_splits else None
        class_names = self._class_names(labels, raw, splits)
        index_of = {name: index for index, name in enumerate(class_names)}
        samples = Samples(
            root=self.root,
            paths=self.paths,
            labels=np.array([index_of[spelled(name)] for name in self.label_ids], dtype=np.int32)[raw],
            class_names=class_names,
            groups=np.array(self.groups, dtype=np.int32) if self.has_groups else None,
            splits=splits,
        )
        return _without_repetitions(samples)

    def _path(self, row: Row) -> str:
        """The path relative to the table's folder where it lies inside, with "/" between its parts."""
        if not row.path:
            raise UsageError(f"{self._where(row)}: the path is empty. Give every row an image, or remove the row.")
        path = row.path.removeprefix(self._root_text)
        return (path.replace("\\", "/") if os.sep == "\\" else path).removeprefix("./")

    def _new_label(self, row: Row) -> int:
        if not is_utf8(row.label):
            raise not_utf8(self.table)
        if not spelled(row.label):
            raise UsageError(f"{self._where(row)}: the label is empty. Give every row a class, or remove the row.")
        return self.label_ids.setdefault(row.label, len(self.label_ids))

    def _split(self, row: Row) -> int:
        split = SPLIT_NAMES.get((row.split or "").strip().lower())
        if split is None:
            raise UsageError(f"{self._where(row)}: the split is {row.split!r}. Expected {', '.join(SPLITS)}.")
        return split

    def _where(self, row: Row) -> str:
        return f"{self.table}, {row.where[0]} {row.where[1]}"

    def _class_names(
        self, labels: Sequence[str] | None, raw: NDArray[np.int32], splits: NDArray[np.int8] | None
    ) -> tuple[str, ...]:
        names = list(self.label_ids)
        if labels is None and splits is not None and (splits == 0).any():
            labels = ordered_class_names([names[place] for place in np.unique(raw[splits == 0])], None, str(self.table))
        return ordered_class_names(names, labels, str(self.table))


def _without_repetitions(samples: Samples) -> Samples:
    """Keep the first of rows that are the same in every column. The same image with another label or split stays."""
    if len(set(samples.paths)) == len(samples):
        return samples
    columns = [samples.labels, *(column for column in (samples.splits, samples.groups) if column is not None)]
    rows = zip(samples.paths, *(column.tolist() for column in columns), strict=True)
    first: dict[tuple[str | int, ...], int] = {}
    counter = LeftOutCounter()
    for place, row in enumerate(rows):
        if first.setdefault(row, place) != place:
            counter.add("repeated_row", str(row[0]))
    kept = samples.select(list(first.values()))
    return replace(kept, left_out=merged(samples.left_out, counter.result()))
