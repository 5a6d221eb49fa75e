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
from pocketvision.workflows.prediction_rows import DECIMALS


@dataclass(frozen=True, eq=False)
class StreamAnswer:
    """An answer and what is shown for it. label, score: of the answers smoothed over time, or of this one without smoothing; the
    label is None when the frame could not be read and nothing was shown before."""

    answer: Answer
    label: str | None
    score: float
    smoothed: bool


def stream_line(shown: StreamAnswer, top_k: int) -> bytes:
    """One line: `frame`, `time` (UTC, when the frame came), `position` (seconds into the source, null without a clock), `path`
    (of a folder's image), `label` and `probability` of this frame, `top` with top_k above 1, with smoothing `smooth_label` and
    `smooth_score`, `latency_ms` (null of a file, whose frames wait), `inference_ms`, `dropped` (frames so far) and `error`."""
    answer = shown.answer
    frame, prediction = answer.frame, answer.prediction
    top = [] if prediction is None else prediction.top(top_k)
    label, probability = top[0] if top else (None, None)
    values: dict[str, Any] = {
        "frame": frame.index,
        "time": datetime.fromtimestamp(frame.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "position": None if frame.picture.position is None else round(frame.picture.position, 4),
    }
    if frame.picture.name:
        values["path"] = frame.picture.name
    values |= {"label": label, "probability": None if probability is None else round(probability, DECIMALS)}
    if top_k > 1:
        values["top"] = [[name, round(value, DECIMALS)] for name, value in top]
    if shown.smoothed:
        values |= {"smooth_label": shown.label, "smooth_score": round(shown.score, DECIMALS)}
    values |= {
        "latency_ms": None if answer.latency is None else round(1e3 * answer.latency, 2),
        "inference_ms": round(1e3 * answer.inference, 2),
        "dropped": answer.dropped,
        "error": answer.error,
    }
    return (json_text(values) + "\n").encode()


@contextmanager
def open_lines(path: Path | None, top_k: int) -> Iterator[Callable[[StreamAnswer], None]]:
    """A function that writes an answer's line to `path`, or nowhere; see growing_file."""
    if path is None:
        yield lambda _: None
        return
    with growing_file(path, holds="answers") as write:
        yield lambda shown: write(stream_line(shown, top_k))
