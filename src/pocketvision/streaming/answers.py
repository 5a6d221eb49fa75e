"""From pictures to answers: a reader's thread, a thread that runs the model, and bounded queues between them and the caller."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pocketvision.errors import ImageError
from pocketvision.streaming.bounded_queue import BoundedQueue
from pocketvision.streaming.crop import Crop, CropError
from pocketvision.streaming.frame import Frame, Pixels, SourceEvents
from pocketvision.streaming.reader import BackOff, Pace, ReaderCounts, ReadSource, read_frames
from pocketvision.streaming.silence import SilenceMonitor
from pocketvision.tasks.catalog import Answers

READ_AHEAD = 4
"""Frames that are read ahead when none may be lost."""

POLL_INTERVAL = 0.1
"""Seconds after which a caller that waits for an answer looks whether it shall stop."""

JOIN_TIMEOUT = 2.0
"""Seconds that a thread is given to end."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of a frame. pixels: what the model saw, (H, W, 3) RGB, None with an error; answers: by the tasks' names, none
    with an error.

    latency: seconds from the frame's coming out of the source to its answer; None where frames wait for the model, as those of
    a file do: they have no moment at which they came. inference: seconds of preprocessing and the network.
    fps: answers in the second before this one. dropped: frames so far that were not answered.
    """

    frame: Frame
    pixels: Pixels | None
    answers: Answers
    error: str | None
    latency: float | None
    inference: float
    fps: int
    dropped: int

    @property
    def prediction(self) -> Any:
        """The answer of the first task; None with an error."""
        return next(iter(self.answers.values()), None)


class Streaming:
    """A running stream: iterate over it for its answers. `counts` is what the reader counts; `frames` and `answers` are the two
    queues between the threads, for whoever wants to know how full they were."""

    def __init__(
        self,
        stopped: Callable[[], bool],
        on_note: Callable[[str], None],
        silence: SilenceMonitor | None,
        *,
        keep_all: bool,
    ) -> None:
        self.frames: BoundedQueue[Frame] = BoundedQueue(
            capacity=READ_AHEAD if keep_all else 1, drop_oldest=not keep_all
        )
        self.answers: BoundedQueue[Answer] = BoundedQueue(capacity=2, drop_oldest=False)
        self.counts = ReaderCounts()
        self._stopped = stopped
        self._on_note = on_note
        self._silence = silence
        self._notes: deque[str] = deque()
        self._noted: set[str] = set()

    def __iter__(self) -> Iterator[Answer]:
        """Answers until the source ends or it is to stop. Raises what ended the source (SourceError, UsageError of a crop …)."""
        try:
            while not self._stopped():
                answer = self.answers.get(POLL_INTERVAL)
                self._forward_notes()
                if answer is not None:
                    yield answer
                elif self.answers.ended:
                    self.answers.get()  # raises an error that came after the wait for an answer was over
                    return
        finally:
            self._forward_notes()

    def note(self, text: str) -> None:
        """Keep a sentence for the caller's thread; one that was kept before is not repeated."""
        if text not in self._noted:
            self._noted.add(text)
            self._notes.append(text)

    def _forward_notes(self) -> None:
        if self._silence is not None and not self.answers.ended:
            text = self._silence(time.monotonic(), self.counts.last)
            if text is not None:
                self._on_note(text)
        while self._notes:
            self._on_note(self._notes.popleft())


def _ignore(_text: str) -> None:
    pass


@contextmanager
def streaming(
    read: ReadSource,
    predict: Callable[[Pixels], Answers],
    *,
    stopped: Callable[[], bool],
    keep_all: bool,
    pace: Pace | None = None,
    back_off: BackOff | None = None,
    crop: Crop | None = None,
    silence: SilenceMonitor | None = None,
    on_note: Callable[[str], None] = _ignore,
) -> Iterator[Streaming]:
    """Start a stream; leaving the block ends its threads.

    read: opens the source and gives its pictures; called with a receiver of notes. predict: from RGB pixels to answers,
    may raise ImageError. stopped: asked before every answer and ten times a second. keep_all: every frame is answered, and the
    source waits (backpressure); otherwise the model gets the newest frame, and those that it was too slow for are dropped and
    counted. back_off: None ends with the first break. silence: watches a source that comes by its own clock. on_note: called in
    the caller's thread, while it iterates, with what there is to be said.
    """
    running, over = Streaming(stopped, on_note, silence, keep_all=keep_all), threading.Event()
    events = SourceEvents(running.counts.count_damaged, running.note)

    def reading() -> None:
        again = back_off or BackOff(enabled=False)
        read_frames(read, running.frames, running.counts, over, events=events, back_off=again, pace=pace or Pace())

    def answering() -> None:
        answer_frames(running.frames, running.answers, predict, crop, timed=not keep_all)

    threads = [threading.Thread(target=work, name=work.__name__, daemon=True) for work in (reading, answering)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        over.set()
        running.frames.abort()
        running.answers.abort()
        for thread in threads:
            # A reader that waits for a silent network comes back only when its timeout is over: it is left behind.
            thread.join(timeout=JOIN_TIMEOUT)


def answer_frames(
    frames: BoundedQueue[Frame],
    answers: BoundedQueue[Answer],
    predict: Callable[[Pixels], Answers],
    crop: Crop | None,
    *,
    timed: bool,
) -> None:
    """Answer what comes through `frames` until it is closed; its error, or one of our own, closes `answers`.

    An image that can not be read, that is too large, or that the crop does not fit into, becomes an answer with an error. Only
    a crop that does not fit into the first frame of a stream, whose frames are alike, ends it with UsageError. timed: whether
    answers have a latency.
    """
    recent: deque[float] = deque()
    fitted = False
    try:
        while (frame := frames.get()) is not None:
            pixels: Pixels | None = None
            answered: Answers = {}
            problem, inference = None, 0.0
            try:
                pixels = frame.picture.pixels()
                pixels = pixels if crop is None else crop(pixels)
                fitted = True
                started = time.monotonic()
                answered = predict(pixels)
                inference = time.monotonic() - started
            except ImageError as error:
                pixels, problem = None, error.reason
            except CropError as error:
                if not fitted and not frame.picture.name:
                    raise
                pixels, problem = None, str(error)
            now = time.monotonic()
            recent.append(now)
            while recent[0] < now - 1:
                recent.popleft()
            latency = now - frame.captured if timed else None
            answer = Answer(frame, pixels, answered, problem, latency, inference, len(recent), frames.dropped)
            if not answers.put(answer):
                return
    except BaseException as error:  # also one that is not ours: the caller must hear of it, or it would wait for ever
        answers.close(error)
    else:
        answers.close()
