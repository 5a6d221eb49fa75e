"""From pictures to answers: a reader's thread, a thread that runs the model, and bounded places between them and the caller."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pocketvision.errors import ImageError
from pocketvision.predictions import Classification
from pocketvision.streaming.picture import Crop, Frame, Picture, Pixels
from pocketvision.streaming.reader import ReaderCounts, Reconnecting, read_frames
from pocketvision.streaming.slot import Slot

WAITING = 4
"""Frames that are read ahead when none may be lost."""

POLL = 0.1
"""Seconds after which a caller that waits for an answer looks whether it shall stop."""

PATIENCE = 2.0
"""Seconds that a thread is given to end."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of a frame. pixels: what the model saw, (H, W, 3) RGB, None with an error; prediction: None with an error.

    latency: seconds from the frame's coming out of the source to its answer. inference: seconds of preprocessing and the network.
    fps: answers in the second before this one. dropped: frames so far that were not answered.
    """

    frame: Frame
    pixels: Pixels | None
    prediction: Classification | None
    error: str | None
    latency: float
    inference: float
    fps: int
    dropped: int


class Streaming:
    """A running stream: iterate over it for its answers. `counts` is what the reader counts; `frames` and `answers` are the two
    places between the threads, for whoever wants to know how full they were."""

    def __init__(
        self, frames: Slot[Frame], answers: Slot[Answer], counts: ReaderCounts, stopped: Callable[[], bool]
    ) -> None:
        self.frames = frames
        self.answers = answers
        self.counts = counts
        self._stopped = stopped

    def __iter__(self) -> Iterator[Answer]:
        """Answers until the source ends or it is to stop. Raises what ended the source (SourceError, UsageError of a crop …)."""
        while not self._stopped():
            answer = self.answers.take(POLL)
            if answer is not None:
                yield answer
            elif self.answers.ended:
                self.answers.take()  # raises an error that came after the wait for an answer was over
                return


@contextmanager
def streaming(
    read: Callable[[Callable[[], None]], Iterator[Picture]],
    predict: Callable[[Pixels], Classification],
    *,
    stopped: Callable[[], bool],
    keep_all: bool,
    paced: bool = False,
    reconnecting: Reconnecting | None = None,
    crop: Crop | None = None,
) -> Iterator[Streaming]:
    """Start a stream; leaving the block ends its threads.

    read: opens the source and gives its pictures; called with what to call for damage. predict: from RGB pixels to a prediction,
    may raise ImageError. stopped: asked before every answer and ten times a second. keep_all: every frame is answered, and the
    source waits; otherwise the model gets the newest frame, and those that it was too slow for are dropped and counted. paced: a
    source without a clock gives its frames at their positions. reconnecting: None ends with the first break.
    """
    frames: Slot[Frame] = Slot(capacity=WAITING if keep_all else 1, lossy=not keep_all)
    answers: Slot[Answer] = Slot(capacity=2, lossy=False)
    counts, over = ReaderCounts(), threading.Event()

    def reading() -> None:
        opened = lambda: read(counts.count_damaged)  # noqa: E731
        read_frames(opened, frames, counts, over, reconnecting=reconnecting or Reconnecting(wanted=False), paced=paced)

    def answering() -> None:
        answer_frames(frames, answers, predict, crop)

    threads = [threading.Thread(target=work, name=work.__name__, daemon=True) for work in (reading, answering)]
    for thread in threads:
        thread.start()
    try:
        yield Streaming(frames, answers, counts, stopped)
    finally:
        over.set()
        frames.cancel()
        answers.cancel()
        for thread in threads:
            # A reader that waits for a silent network comes back only when its timeout is over: it is left behind.
            thread.join(timeout=PATIENCE)


def answer_frames(
    frames: Slot[Frame], answers: Slot[Answer], predict: Callable[[Pixels], Classification], crop: Crop | None
) -> None:
    """Answer what comes through `frames` until it is closed; its error, or one of our own, closes `answers`.

    An image that can not be read, or that is too large, becomes an answer with an error.
    """
    recent: deque[float] = deque()
    try:
        while (frame := frames.take()) is not None:
            pixels: Pixels | None = None
            prediction: Classification | None = None
            problem, inference = None, 0.0
            try:
                pixels = frame.picture.pixels()
                pixels = pixels if crop is None else crop(pixels)
                started = time.monotonic()
                prediction = predict(pixels)
                inference = time.monotonic() - started
            except ImageError as error:
                pixels, problem = None, error.reason
            now = time.monotonic()
            recent.append(now)
            while recent[0] < now - 1:
                recent.popleft()
            latency = now - frame.captured
            if not answers.put(
                Answer(frame, pixels, prediction, problem, latency, inference, len(recent), frames.dropped)
            ):
                return
    except BaseException as error:  # also one that is not ours: the caller must hear of it, or it would wait for ever
        answers.close(error)
    else:
        answers.close()
