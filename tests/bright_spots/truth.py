"""The truth of bright spots: points in images, zero to many, and sometimes missing."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Points:
    """Points in images, (x, y) in pixels; `present` tells an image without points from one nobody looked at."""

    rows: Ragged
    present: NDArray[np.bool_]
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def strata(self) -> NDArray[np.int64]:
        return np.minimum(self.rows.lengths, 1)

    def class_counts(self) -> NDArray[np.int64]:
        return np.zeros(0, np.int64)

    def select(self, indices: NDArray[np.int64]) -> "Points":
        return replace(self, rows=self.rows.select(indices), present=self.present[indices])

    def aligned(self, rows: NDArray[np.int64]) -> "Points":
        return replace(self, rows=self.rows.aligned(rows), present=np.append(self.present, False)[rows])

    def through(self, index: int, placement: Placement) -> "Points":
        alone = self.select(np.array([index]))
        xy = placement.to_input(alone.rows.columns["xy"].astype(np.float64))
        return replace(alone, rows=Ragged(alone.rows.offsets, {"xy": xy.astype(np.float32)}))

    def in_classes(self, class_names: tuple[str, ...]) -> "Points":
        return replace(self, class_names=class_names)

    def said(self, index: int) -> bytes:
        return b"points" + self.rows.row(index)["xy"].tobytes() if self.present[index] else b""


def points(*counts: int) -> Points:
    """counts: of each image, -1 where nobody looked."""
    rows = [{"xy": np.full((max(count, 0), 2), count, np.float32)} for count in counts]
    return Points(Ragged.of(rows), np.array(counts) >= 0)
