"""A label column of classes: one name a row."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketvision.data.class_names import ordered_class_names, spelled
from pocketvision.data.delimited_text import is_utf8, not_utf8
from pocketvision.data.several_labels import LabelUse, refuse_several_labels
from pocketvision.data.table_rows import TableRow
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.tasks.truth import Truth

LONGEST_LABEL = 200


class ClassColumn:
    """table: what the rows come from, for messages."""

    def __init__(self, table: Path) -> None:
        self._table = table
        self._labels = array("i")
        self._ids: dict[str, int] = {}
        self._places: list[str] = []

    def add(self, row: TableRow) -> None:
        """The class's name, as it is written."""
        known = self._ids.get(row.label)
        self._labels.append(self._new_class(row) if known is None else known)

    def truth(self, labels: Sequence[str] | None, training: Sequence[int] | None) -> dict[str, Truth]:
        """Raises UsageError for cells of several labels and for unknown classes."""
        raw = np.array(self._labels, dtype=np.int32)
        uses = zip(self._ids, np.bincount(raw).tolist(), self._places, strict=True)
        refuse_several_labels(
            self._table,
            {text: LabelUse(count, where) for text, count, where in uses},
            {spelled(name) for name in labels or ()},
        )
        names = list(self._ids)
        if labels is None and training:
            found = np.unique(raw[np.asarray(training)])
            labels = ordered_class_names([names[place] for place in found], None, str(self._table))
        class_names = ordered_class_names(names, labels, str(self._table))
        index_of = {name: index for index, name in enumerate(class_names)}
        return class_truth(np.array([index_of[spelled(name)] for name in names])[raw], class_names)

    def _new_class(self, row: TableRow) -> int:
        # What a folder on the way to the picture is called is a name, whatever it holds: split.csv has such labels.
        named = spelled(row.label) in map(spelled, Path(row.path).parts)
        where = f"{self._table}, {row.place}"
        if not named and not is_utf8(row.label):
            raise not_utf8(self._table)
        if not spelled(row.label):
            raise UsageError(f"{where}: the label is empty. Give every row a class, or remove the row.")
        if not named and ("\n" in row.label.strip() or "\r" in row.label.strip()):
            raise UsageError(
                f'{where}: the label goes over several lines: {quoted(row.label)}. Is a quote (") left open there?'
            )
        if len(row.label) > LONGEST_LABEL:
            raise UsageError(
                f"{where}: the label has {len(row.label):,} characters, {quoted(row.label)}; a class name has at most "
                f"{LONGEST_LABEL}. Is --label-column the right one?"
            )
        self._places.append(row.place)
        return self._ids.setdefault(row.label, len(self._ids))
