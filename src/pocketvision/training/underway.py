"""An epoch that is under way: how far it has come, and its sums, so that it goes on from there after a break."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Underway:
    """steps, of: batches that were learned from, and those of the epoch. loss: the sum over `images` images. right, judged: how
    many of how many. seconds: so far, and of them `waiting` for batches. cosines: as in Balance, of several tasks."""

    steps: int = 0
    of: int = 0
    images: int = 0
    loss: float = 0.0
    right: int = 0
    judged: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    cosines: Mapping[str, float] = field(default_factory=dict)

    def after(self, images: int, loss: float, found: tuple[int, int], *, seconds: float, waited: float) -> "Underway":
        """With one more batch. loss: its mean. found: how many were right, of how many. seconds: since the epoch began."""
        return replace(
            self,
            steps=self.steps + 1,
            images=self.images + images,
            loss=self.loss + loss * images,
            right=self.right + found[0],
            judged=self.judged + found[1],
            seconds=seconds,
            waiting=self.waiting + waited,
        )

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.images, 1)

    @property
    def share_right(self) -> float:
        """In [0, 1]."""
        return self.right / max(self.judged, 1)

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def share_waiting(self) -> float:
        """Of the seconds, in [0, 1]."""
        return min(1.0, self.waiting / self.seconds) if self.seconds else 0.0


def timed(items: Iterable[Item]) -> Iterator[tuple[Item, float]]:
    """Each item, and the seconds that it was waited for."""
    source = iter(items)
    while True:
        started = time.perf_counter()
        try:
            item = next(source)
        except StopIteration:
            return
        yield item, time.perf_counter() - started


@dataclass
class Keeping:
    """Hears of each step of an epoch, and hands it to `keep` every so many seconds. last: when, of time.perf_counter."""

    seconds: float
    keep: Callable[[Underway], None]
    last: float = field(default_factory=time.perf_counter)

    def __call__(self, done: Underway) -> None:
        if time.perf_counter() - self.last >= self.seconds:
            self.keep(done)
            self.last = time.perf_counter()
