"""Telling that nothing comes, while it lasts."""

TOLD_AFTER, USUAL = 2.0, 1.5
"""Seconds without a picture until it is told, each further time after twice as long; and how many times a silence that was told
may come again untold: a camera that gives a picture in 7 s always does."""


class SilenceMonitor:
    """Watches when pictures come. name: of the source; started: when it began, in seconds of a clock that never goes back."""

    def __init__(self, name: str, started: float) -> None:
        self._name = name
        self._last = started
        self._first = self._next = TOLD_AFTER

    def __call__(self, now: float, last: float | None) -> str | None:
        """What is to be told at `now`, if anything. last: when the newest picture came. Both of a clock that never goes back."""
        if last is not None and last > self._last:
            silent, told = last - self._last, self._next > self._first
            self._last, self._first = last, max(self._first, USUAL * silent) if told else self._first
            self._next = self._first
            return f"{self._name}: a picture came after {silent:.1f} s" if told else None
        silent = now - self._last
        if silent < self._next:
            return None
        self._next *= 2
        return f"{self._name}: no picture for {silent:.0f} s (how long is waited: --open-timeout, --read-timeout)"
