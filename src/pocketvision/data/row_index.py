"""The columns of labelled images while they are read row by row, whatever the rows come from."""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.class_names import ordered_class_names, spelled
from pocketvision.data.delimited_text import is_utf8, not_utf8
from pocketvision.data.embedded_images import EmbeddedImages
from pocketvision.data.left_out import LeftOutCounter, merged
from pocketvision.data.samples import SPLIT_NAMES, SPLITS, Samples
from pocketvision.data.several_labels import LabelUse, refuse_several_labels
from pocketvision.data.table_paths import TablePaths, not_there
from pocketvision.data.table_rows import TableRow
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted
from pocketvision.tasks.classification.truth import class_truth

_LONGEST_LABEL = 200
_KEPT = 100  # rows without a file that are looked at


class RowIndex:
    """Grows row by row. table: what the rows come from, for messages. root: where relative paths start. given: whether absolute
    paths that lead nowhere are looked up below it too. pictures: takes those that lie inside the rows; inside: of what."""

    def __init__(
        self,
        table: Path,
        root: Path,
        *,
        given: bool = False,
        pictures: EmbeddedImages | None = None,
        inside: str = "table",
    ) -> None:
        self.table = table
        self.root = root
        self.counter = LeftOutCounter()
        self.paths: list[str] = []
        self.labels, self.groups, self.splits = array("i"), array("i"), array("b")
        self.class_ids: dict[str, int] = {}
        self.class_places: list[str] = []
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
        known = self.class_ids.get(row.label)
        if known is None:
            known = self._new_class(row)
        if row.split is not None:
            self.has_splits = True
            self.splits.append(self._split(row))
        if row.group is not None:
            self.has_groups = True
            group = row.group.strip()
            self.groups.append(self.group_ids.setdefault(group, len(self.group_ids)) if group else -1)
        self.labels.append(known)
        self.paths.append(path)

    def samples(self, labels: Sequence[str] | None) -> Samples:
        """Everything taken in, as Samples. Raises UsageError for missing files, unknown classes and an empty table."""
        if not self.paths:
            raise UsageError(f"{self.table}: the table holds no rows. Expected one image a row.")
        raw = np.array(self.labels, dtype=np.int32)
        uses = zip(self.class_ids, np.bincount(raw).tolist(), self.class_places, strict=True)
        refuse_several_labels(
            self.table,
            {text: LabelUse(count, where) for text, count, where in uses},
            {spelled(name) for name in labels or ()},
        )
        if self.missing_count:
            raise not_there(self.table, self._files, self.missing, self.missing_count, len(self.paths))
        splits = np.array(self.splits, dtype=np.int8) if self.has_splits else None
        class_names = self._class_names(labels, raw, splits)
        index_of = {name: index for index, name in enumerate(class_names)}
        samples = Samples(
            root=self._pictures.folder if self._pictures.count else self.root,
            paths=self.paths,
            truth=class_truth(np.array([index_of[spelled(name)] for name in self.class_ids])[raw], class_names),
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
            self.missing.append((f"{row.where[0]} {row.where[1]}", row.path))
        return row.path

    def _new_class(self, row: TableRow) -> int:
        # What a folder on the way to the picture is called is a name, whatever it holds: split.csv has such labels.
        named = spelled(row.label) in map(spelled, Path(row.path).parts)
        if not named and not is_utf8(row.label):
            raise not_utf8(self.table)
        if not spelled(row.label):
            raise UsageError(f"{self._where(row)}: the label is empty. Give every row a class, or remove the row.")
        if not named and ("\n" in row.label.strip() or "\r" in row.label.strip()):
            raise UsageError(
                f'{self._where(row)}: the label goes over several lines: {quoted(row.label)}. Is a quote (") left open there?'
            )
        if len(row.label) > _LONGEST_LABEL:
            raise UsageError(
                f"{self._where(row)}: the label has {len(row.label):,} characters, {quoted(row.label)}; a class name has at most "
                f"{_LONGEST_LABEL}. Is --label-column the right one?"
            )
        self.class_places.append(f"{row.where[0]} {row.where[1]}")
        return self.class_ids.setdefault(row.label, len(self.class_ids))

    def _split(self, row: TableRow) -> int:
        split = SPLIT_NAMES.get((row.split or "").strip().lower())
        if split is None:
            raise UsageError(
                f"{self._where(row)}: the split is {quoted(row.split or '')}. Expected {', '.join(SPLITS)}."
            )
        return split

    def _where(self, row: TableRow) -> str:
        return f"{self.table}, {row.where[0]} {row.where[1]}"

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

    def _class_names(
        self, labels: Sequence[str] | None, raw: NDArray[np.int32], splits: NDArray[np.int8] | None
    ) -> tuple[str, ...]:
        names = list(self.class_ids)
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
