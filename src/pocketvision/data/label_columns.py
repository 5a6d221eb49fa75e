"""What the label column of a table holds, while it is read row by row: classes, tags or numbers."""

from collections.abc import Sequence
from typing import Protocol

from pocketvision.data.table_rows import TableRow
from pocketvision.tasks.truth import Truth


class LabelColumn(Protocol):
    """Grows row by row."""

    def add(self, row: TableRow) -> None:
        """Take the row's label in. Raises UsageError for one that is none."""

    def truth(self, labels: Sequence[str] | None, training: Sequence[int] | None) -> dict[str, Truth]:
        """Of all rows that were added, by task. labels: every name in index order; None takes those found, of the rows `training`
        where there are splits. Raises UsageError for what does not hold together."""
