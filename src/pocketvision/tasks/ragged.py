"""Rows of different lengths in flat arrays: boxes or points of images, of which one has none and the next a hundred."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Ragged:
    """n rows. offsets: (n + 1) int64, ascending from 0; row i is offsets[i]:offsets[i + 1] of every column.

    columns: by name, (m, ...) each, m things of all rows together, such as boxes (m, 4) and classes (m). 8 bytes a row, and what
    the columns take: 20 bytes for a box in float32 with its class in int32.
    """

    offsets: NDArray[np.int64]
    columns: Columns

    def __post_init__(self) -> None:
        held = int(self.offsets[-1]) if len(self.offsets) else -1
        wrong = [name for name, column in self.columns.items() if len(column) != held]
        if held < 0 or self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any() or wrong:
            raise ValueError(f"Offsets to {held} do not fit the columns {', '.join(wrong or self.columns)}.")

    @classmethod
    def of(cls, rows: Sequence[Columns]) -> "Ragged":
        """From at least one row with the same columns each."""
        lengths = [len(next(iter(row.values()))) for row in rows]
        columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        return cls(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), columns)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n) things in each row."""
        return np.diff(self.offsets)

    def row(self, index: int) -> dict[str, NDArray[Any]]:
        """The things of row `index`, by column."""
        start, end = self.offsets[index : index + 2]
        return {name: column[start:end] for name, column in self.columns.items()}

    def aligned(self, rows: NDArray[np.integer]) -> "Ragged":
        """(k) rows: which of these each is, or -1 for an empty one."""
        longer = Ragged(np.append(self.offsets, self.offsets[-1]), self.columns)
        return longer.select(np.where(rows < 0, len(self), rows))

    def select(self, indices: NDArray[np.integer]) -> "Ragged":
        """The rows at `indices`, in that order."""
        lengths = self.lengths[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.offsets[:-1][indices] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(offsets, {name: column[places] for name, column in self.columns.items()})
