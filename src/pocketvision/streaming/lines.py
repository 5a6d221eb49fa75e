"""A stream's answers as JSON Lines, each written whole as soon as it is known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pocketvision.growing_file import growing_file
from pocketvision.json_text import json_text
from pocketvision.streaming.answers import Answer
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import Kinds, brief, line, smoothed


@dataclass(frozen=True, eq=False)
class StreamAnswer:
    """An answer and what is shown for it. kinds: of the bundle's tasks. detail: how much of answers is told. shown: the answers
    smoothed over time, or this frame's without smoothing; none when the frame could not be read and nothing was shown before."""

    answer: Answer
    kinds: Kinds
    detail: Detail
    shown: Answers
    smoothed: bool

    @property
    def label(self) -> str | None:
        """The class that is shown, of the first task where that classifies; None where nothing is."""
        first = next(iter(self.shown.values()), None)
        return first.label if isinstance(first, Classification) else None

    @property
    def score(self) -> float:
        """Of that class, in [0, 1]; 0 where there is none."""
        first = next(iter(self.shown.values()), None)
        return first.probability if isinstance(first, Classification) else 0.0

    @property
    def cells(self) -> list[list[object]]:
        """What is shown by each task, in the fewest cells; another first cell is a change worth telling (tasks.task.Wire)."""
        return brief(self.shown, Detail(top_k=1))


def stream_line(shown: StreamAnswer) -> bytes:
    """One line: `frame`, `time` (UTC, when the frame came), `position` (seconds into the source, null without a clock), `path`
    (of a folder's image), `answers` of this frame with what stands beside them, with smoothing `smooth_answers` too, `latency_ms`
    (null of a file, whose frames wait), `inference_ms`, `dropped` (frames so far) and `error`."""
    answer = shown.answer
    frame = answer.frame
    values: dict[str, Any] = {
        "frame": frame.index,
        "time": datetime.fromtimestamp(frame.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "position": None if frame.picture.position is None else round(frame.picture.position, 4),
    }
    if frame.picture.name:
        values["path"] = frame.picture.name
    values |= line(shown.kinds, answer.answers, shown.detail)
    if shown.smoothed:
        values |= smoothed(shown.kinds, shown.shown, shown.detail)
    values |= {
        "latency_ms": None if answer.latency is None else round(1e3 * answer.latency, 2),
        "inference_ms": round(1e3 * answer.inference, 2),
        "dropped": answer.dropped,
        "error": answer.error,
    }
    return (json_text(values) + "\n").encode()


@contextmanager
def open_lines(path: Path | None) -> Iterator[Callable[[StreamAnswer], None]]:
    """A function that writes an answer's line to `path`, or nowhere; see growing_file."""
    if path is None:
        yield lambda _: None
        return
    with growing_file(path, holds="answers") as write:
        yield lambda shown: write(stream_line(shown))
