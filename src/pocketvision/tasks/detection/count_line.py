"""How many followed objects cross a line, and which way."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.tasks.detection.answer import Passed

_WAVERING = 0.01
"""Of the line's length: an object whose middle is nearer than this stays on the side where it was."""


class LineCounter:
    """Counts objects whose middle goes from one side of a line to the other between its ends."""

    def __init__(self, line: tuple[float, float, float, float]) -> None:
        """line: from x, y to x, y in the image's pixels. Raises UsageError for one of no length."""
        start, end = np.array(line[:2], np.float64), np.array(line[2:], np.float64)
        length = float(np.hypot(*(end - start)))
        if not np.isfinite(length) or length == 0:
            raise UsageError(f"The line {', '.join(f'{each:g}' for each in line)} has no length; expected x1,y1,x2,y2.")
        self._line, self._start, self._along, self._length = line, start, (end - start) / length, length
        self._sides: dict[int, float] = {}
        self._counts: dict[str, tuple[int, int]] = {}

    def counted(self, ids: NDArray[np.int64], boxes: NDArray[np.float64], names: Sequence[str]) -> Passed:
        """The counts so far, with objects as they are in a frame now: (t), (t, 4) and (t) names of their classes."""
        away = (boxes[:, :2] + boxes[:, 2:]) / 2 - self._start
        along = away @ self._along
        # Image rows go down, so that what is positive lies to the right of one who looks along the line.
        right = away @ np.array([-self._along[1], self._along[0]])
        for track, name, place, distance in zip(ids.tolist(), names, along.tolist(), right.tolist(), strict=True):
            if abs(distance) < _WAVERING * self._length:
                continue
            before = self._sides.get(track)
            self._sides[track] = distance
            if before is None or (before > 0) == (distance > 0) or not 0 <= place <= self._length:
                continue
            to_right, to_left = self._counts.get(name, (0, 0))
            self._counts[name] = (to_right + 1, to_left) if distance > 0 else (to_right, to_left + 1)
        return Passed(self._line, dict(self._counts))
