"""A task's truth as numbers: what a learner says of it where its head is solved in closed form (solving.py)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """Of predictions: loss, lower is better; figure, in [0, 1], higher is better. scales, offsets: (outputs) what makes of
    them what the head puts out, such as logits: scales * prediction + offsets."""

    loss: float
    figure: float
    scales: Floats
    offsets: Floats


@dataclass(frozen=True, eq=False)
class Regression:
    """A task's truth as numbers to be regressed on.

    targets: (N, outputs). row_weights: (N) what each row counts; None for all alike. judge: from predictions (M, outputs) and the
    rows (M) that they are of, each made without its row, to how good they are.
    """

    targets: Floats
    row_weights: NDArray[np.float64] | None
    judge: Callable[[Floats, NDArray[np.int64]], Judged]


@runtime_checkable
class Solvable(Protocol):
    """A learner whose head can be solved."""

    def regression(self, targets: Any, outputs: int) -> Regression:
        """Of the learner's own targets, of rows of which it has the truth."""
