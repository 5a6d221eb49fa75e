"""The reader's thread: pictures become frames, a broken source is opened again after growing pauses, a file keeps its pace."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pocketvision.errors import SourceError
from pocketvision.streaming.picture import Frame, Picture
from pocketvision.streaming.slot import Slot

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a broken source is opened again; each time twice as long, until a picture has come."""

TRIES = 3
"""Openings of a source that has never given a picture."""


@dataclass
class ReaderCounts:
    """Written by the reader alone, read by anybody."""

    read: int = 0
    damaged: int = 0
    reconnects: int = 0

    def count_damaged(self) -> None:
        """One packet or picture that could not be decoded."""
        self.damaged += 1


@dataclass(frozen=True)
class Reconnecting:
    """Whether and how a broken source is opened again. pauses: seconds, the first and the longest."""

    wanted: bool
    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        return min(self.first_pause * 2.0 ** min(failures - 1, 16), self.longest_pause)


def read_frames(
    read: Callable[[], Iterator[Picture]],
    slot: Slot[Frame],
    counts: ReaderCounts,
    stop: threading.Event,
    *,
    reconnecting: Reconnecting,
    paced: bool,
) -> None:
    """Fill `slot` until the source ends, fails (the slot is closed with the error) or `stop` is set.

    paced: frames are held back until their position, as if they came from a camera.
    """
    started: float | None = None
    try:
        for picture in _pictures(read, counts, stop, reconnecting):
            if started is None:
                started = time.monotonic() - (picture.position or 0.0)
            if paced and picture.position is not None:
                stop.wait(max(0.0, started + picture.position - time.monotonic()))
            if stop.is_set():
                break
            frame = Frame(picture, index=counts.read, captured=time.monotonic(), time=time.time())
            counts.read += 1
            if not slot.put(frame):
                break
    except (
        BaseException
    ) as error:  # whatever it is, the thread that takes frames has to hear of it, or it would wait for ever
        slot.close(error)
    else:
        slot.close()


def _pictures(
    read: Callable[[], Iterator[Picture]], counts: ReaderCounts, stop: threading.Event, reconnecting: Reconnecting
) -> Iterator[Picture]:
    """The pictures of as many connections as it takes."""
    opened, failures, started = False, 0, time.monotonic()
    while not stop.is_set():
        try:
            for picture in read():
                counts.reconnects += opened and failures > 0
                opened, failures = True, 0
                yield picture
            return
        except SourceError as error:
            failures += 1
            if not reconnecting.wanted:
                raise
            if not opened and failures >= TRIES:
                seconds = time.monotonic() - started
                raise SourceError(
                    f"{error}. Tried {failures} times in {seconds:.1f} s, and no picture came."
                ) from error
        stop.wait(reconnecting.pause(failures))
