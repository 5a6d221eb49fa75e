"""A label column of numbers: one figure a row."""

import math
import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.table_rows import TableRow
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.number.truth import NUMBER, NumberLabels
from pocketvision.tasks.truth import Truth

_UNIT = re.compile(r"[^(\[]*[(\[]\s*([^)\]]{1,40}?)\s*[)\]]\s*")


class NumberColumn:
    """table: what the rows come from, for messages. column: its name, which may tell the unit: "age (years)", "width [mm]"."""

    def __init__(self, table: Path, column: str) -> None:
        self._table, self._column = table, column
        self._values = array("d")

    def add(self, row: TableRow) -> None:
        """Raises UsageError for what is empty, no number, or not finite."""
        self._values.append(number_of(row.label, f"{self._table}, {row.place}: the column {quoted(self._column)}"))

    def truth(self, labels: Sequence[str] | None, training: Sequence[int] | None) -> dict[str, Truth]:
        """Raises UsageError as `number_truth` does, and for labels, which numbers have none of."""
        if labels is not None:
            raise UsageError(f"{self._table}: --labels lists names of classes, and numbers have none. Leave it out.")
        return number_truth(str(self._table), np.array(self._values), training, unit_of(self._column))


def number_of(text: str, where: str) -> float:
    """The number that `text` is. Raises UsageError, beginning with `where` it stands."""
    if not text.strip():
        raise UsageError(f"{where} is empty. Give every image its number, or remove the row.")
    try:
        value = float(text)
    except ValueError:
        comma = " Write decimals with a point." if re.fullmatch(r"[-+]?\d+,\d+", text.strip()) else ""
        raise UsageError(
            f"{where} holds {quoted(text)}, which is no number.{comma} Is --label-column the right one?"
        ) from None
    if not math.isfinite(value):
        raise UsageError(
            f"{where} holds {quoted(text)}, which is not finite. Give the image a number, or remove the row."
        )
    return value


def unit_of(column: str) -> str:
    """What stands in brackets in a column's name; empty where nothing does."""
    found = _UNIT.fullmatch(column)
    return found[1] if found else ""


def number_truth(
    where: str, values: NDArray[np.float64], training: Sequence[int] | None, unit: str = ""
) -> dict[str, Truth]:
    """Raises UsageError where all numbers that are learned from are the same."""
    learned = values if training is None else values[np.asarray(training, np.int64)]
    if len(learned) > 1 and learned.min() == learned.max():
        split = " of the training split" if training is not None else ""
        raise UsageError(
            f"{where}: every number{split} is {learned[0]:g}, so there is nothing to learn or to measure by."
        )
    return {NUMBER: NumberLabels(values, unit)}
