"""A note when a source gives no pictures, repeated while that lasts."""

REPORT_AFTER, RECURRING = 2.0, 1.5
"""Seconds without a picture until the first note; each further note comes after twice as long. After a note, silences up to
RECURRING times as long as that one are taken to be normal: a camera may give a picture every 7 s."""


class SilenceMonitor:
    """Watches when pictures come. name: of the source; started: when it began, in seconds of a clock that never goes back."""

    def __init__(self, name: str, started: float) -> None:
        self._name = name
        self._last = started
        self._first = self._next = REPORT_AFTER

    def __call__(self, now: float, last: float | None) -> str | None:
        """The note that is due at `now`, if any. last: when the newest picture came. Both of a clock that never goes back."""
        if last is not None and last > self._last:
            silent, reported = last - self._last, self._next > self._first
            self._last, self._first = last, max(self._first, RECURRING * silent) if reported else self._first
            self._next = self._first
            return f"{self._name}: a picture came after {silent:.1f} s" if reported else None
        silent = now - self._last
        if silent < self._next:
            return None
        self._next *= 2
        return f"{self._name}: no picture for {silent:.0f} s (how long is waited: --open-timeout, --read-timeout)"
