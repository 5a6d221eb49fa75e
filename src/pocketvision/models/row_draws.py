"""What is drawn at random for each row of a batch while several processes share its rows.

Every process draws for the whole batch and takes its own rows of it, so that the draws are those of one process.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Share:
    """The rows of a batch that are this process's: begin to end of total."""

    total: int
    begin: int
    end: int

    @property
    def counted(self) -> int:
        return self.end - self.begin

    @property
    def shown(self) -> slice:
        """Those that go through the model. Where a batch has fewer rows than there are processes, the first stands in: whatever
        becomes of it counts nowhere, but every process goes the same way."""
        return slice(self.begin, self.end) if self.counted else slice(0, 1)


SHARE: ContextVar[Share | None] = ContextVar("SHARE", default=None)
"""Of the batch that is learned from; None where a process has all of it."""


def drawn_by_row(draw: Callable[[int], Tensor], rows: int) -> Tensor:
    """What `draw` gives for so many rows, a row first."""
    share = SHARE.get()
    if share is None or len(range(share.total)[share.shown]) != rows:
        return draw(rows)
    return draw(share.total)[share.shown]
