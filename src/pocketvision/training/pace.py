"""How a training gets on, from its events: seconds of an epoch without what is computed once, and of a view. Loads no torch."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from pocketvision.progress import Counted, EpochEnded, EpochRecord, Event, OnEvent

_LEAST = 0.2  # of an epoch's seconds
_LAST = 3  # epochs: others on the machine come and go


@dataclass
class Pace:
    """Hears events as they happen. epochs: seconds by phase, of each so far. views: how many were computed. view: seconds of one,
    None before the first."""

    clock: Callable[[], float] = time.perf_counter
    epochs: dict[int, list[float]] = field(default_factory=dict)
    views: int = 0
    _timed: int = 0  # views but the first of a series, before which other things happen
    _timing: float = 0.0
    _spent: float = 0.0  # on views, in this epoch
    _count: int = 0
    _last: float | None = None

    def before(self, on_event: OnEvent) -> OnEvent:
        """Hears each event, and hands it on."""

        def heard(event: Event) -> None:
            self(event)
            on_event(event)

        return heard

    def __call__(self, event: Event) -> None:
        now = self.clock()
        if isinstance(event, Counted) and event.step == "cache":
            spent, new = 0.0 if self._last is None else now - self._last, event.done - self._count
            if self._count:
                self._timed, self._timing = self._timed + new, self._timing + spent
            self.views, self._spent = self.views + new, self._spent + spent
            self._count = 0 if event.done == event.total else event.done
        elif isinstance(event, EpochEnded):
            self.epochs.setdefault(event.record.stage, []).append(self._without_views(event.record))
            self._spent = 0.0
        self._last = now

    @property
    def view(self) -> float | None:
        """Seconds of a view that was computed, as they came one after the other."""
        return self._timing / self._timed if self._timed else None

    def epoch(self, phase: int, ended: EpochRecord | None = None) -> float | None:
        """Seconds of one of a phase as the last few went, with one that has `ended` and was not heard of; None before any."""
        seconds = [*self.epochs.get(phase, ()), *([] if ended is None else [self._without_views(ended)])]
        return median(seconds[-_LAST:]) if seconds else None

    def _without_views(self, record: EpochRecord) -> float:
        return max(record.seconds - self._spent, _LEAST * record.seconds)
