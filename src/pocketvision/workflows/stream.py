"""stream: frames of a camera, a file or the network in; answers out, as JSON Lines, as a video, in a window, or to a function."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketvision.errors import UsageError, unknown_name
from pocketvision.runtime.predictor import Predictor
from pocketvision.streaming.answers import Answer, streaming
from pocketvision.streaming.frames import SourceKind, SourceSettings, find_source
from pocketvision.streaming.outputs import find_output
from pocketvision.streaming.overlay import Overlay, overlay_lines
from pocketvision.streaming.picture import Pixels, parse_crop
from pocketvision.streaming.reader import Reconnecting
from pocketvision.streaming.smoothing import Held, smoother
from pocketvision.streaming.summary import StreamSummary, Tally, milliseconds
from pocketvision.workflows.load import load
from pocketvision.workflows.stream_lines import StreamAnswer, open_lines, stream_line

LOWEST_FPS, HIGHEST_FPS = 0.001, 1000.0
POLICIES = ("newest", "wait")
WAITING_SOURCES = ("video file", "folder")
"""Whose frames are all answered unless the user says otherwise."""


@dataclass(frozen=True)
class Smoothing:
    """kind: `majority` or `ema`. seconds: what a majority remembers, or a moving average's time constant. hysteresis: how much
    higher a class has to score than the shown one to take its place, in [0, 1]."""

    kind: str
    seconds: float = 0.5
    hysteresis: float = 0.1


def stream(
    bundle: str | Path,
    source: str | Path,
    *,
    crop: str | None = None,
    policy: str | None = None,
    fps: float = 30.0,
    low_latency: bool = False,
    seconds: float | None = None,
    smoothing: Smoothing | None = None,
    jsonl: str | Path | None = None,
    top_k: int = 1,
    out: str | Path = "none",
    backend: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    stop: threading.Event | None = None,
    on_answer: Callable[[StreamAnswer], None] | None = None,
) -> StreamSummary:
    """Answer the frames of `source` with a bundle or a pre-trained name until it ends, `seconds` are over or `stop` is set.

    source: a camera's number, a video file, a URL, a folder of images or `test-pattern`. crop: `x,y,width,height` in pixels.
    policy: `newest` gives the model the newest frame and drops those before it, `wait` answers every one; None waits for files
    and folders alone. fps: of a test pattern and a folder. low_latency: see SourceSettings. jsonl: a file of answers. out:
    `FILE.mp4`, `window`, `http://HOST/live/NAME` of a server that takes live streams, or `none`. threads: of the network, None
    for every core. on_answer is called with every answer, in the calling thread.

    Raises UsageError, BundleError, SourceError (it can not be opened or read any further) and MissingExtraError.
    """
    text, output, part = str(source), find_output(str(out)), None if crop is None else parse_crop(crop)
    name, kind = find_source(text)
    keep_all = _keeps_all(policy, name, kind)
    if not LOWEST_FPS <= fps <= HIGHEST_FPS or top_k < 1:
        raise UsageError(
            f"fps is {fps:g} and top_k {top_k}; expected {LOWEST_FPS:g} to {HIGHEST_FPS:g}, and at least 1"
        )
    view = _View(smoothing)
    predictor = load(bundle, backend=backend, device=device, threads=threads)
    _warm_up(predictor)
    settings = SourceSettings(fps, low_latency, predictor.bundle.preprocessing.white_level)
    stop, tally, started = stop or threading.Event(), Tally(), time.monotonic()
    with ExitStack() as opened:
        sink = opened.enter_context(output.open(str(out)))
        write_line = opened.enter_context(open_lines(None if jsonl is None else Path(jsonl), top_k))
        overlay = Overlay(predictor.labels) if output.draws else None

        def stopped() -> bool:
            return stop.is_set() or sink.closed or (seconds is not None and time.monotonic() - started >= seconds)

        running = opened.enter_context(
            streaming(
                lambda damaged: kind.read(text, settings, damaged),
                predictor,
                stopped=stopped,
                keep_all=keep_all,
                paced=not keep_all and not kind.live,
                reconnecting=Reconnecting(kind.reconnects),
                crop=part,
            )
        )
        for answer in running:
            tally.add(time.monotonic(), answer.latency, answer.inference, failed=answer.error is not None)
            # A camera's own clock may jump, and begins anew after a break; a file is smoothed and shown by its own.
            position = None if kind.live else answer.frame.picture.position
            clock = answer.frame.captured if position is None else position
            shown = view.shown(answer, clock)
            write_line(shown)
            if overlay is not None and answer.pixels is not None:
                sink.write(_drawn(overlay, shown), clock, stream_line(shown, top_k).decode("utf-8").strip())
            if on_answer is not None:
                on_answer(shown)
        ended_by = "stop" if stop.is_set() or sink.closed else "time" if stopped() else "end"
        counts, dropped = running.counts, running.frames.dropped
    return StreamSummary(
        read=counts.read,
        answered=tally.answered,
        failed=tally.failed,
        dropped=dropped,
        damaged=counts.damaged,
        reconnects=counts.reconnects,
        seconds=round(time.monotonic() - started, 3),
        fps=round(tally.fps, 2),
        latency_ms_p50=milliseconds(tally.latency, 50),
        latency_ms_p95=milliseconds(tally.latency, 95),
        inference_ms_p50=milliseconds(tally.inference, 50),
        inference_ms_p95=milliseconds(tally.inference, 95),
        ended_by=ended_by,
        unpublished=sink.lost,
    )


class _View:
    """What is shown of the answers: each one's own label, or the smoothed and held one."""

    def __init__(self, smoothing: Smoothing | None) -> None:
        self._smooth = None if smoothing is None else smoother(smoothing.kind, smoothing.seconds)
        self._held = Held(0.0 if smoothing is None else smoothing.hysteresis)
        self._last: tuple[str | None, float] = (None, 0.0)

    def shown(self, answer: Answer, clock: float) -> StreamAnswer:
        """The answer with what is shown for it. clock: seconds, never going back."""
        prediction, smoothed = answer.prediction, self._smooth is not None
        if prediction is None:  # a frame that could not be read says nothing new
            return StreamAnswer(answer, *(self._last if smoothed else (None, 0.0)), smoothed)
        if self._smooth is None:
            return StreamAnswer(answer, prediction.label, prediction.probability, smoothed)
        scores = self._smooth(clock, prediction.probabilities)
        index = self._held(scores)
        self._last = prediction.labels[index], float(scores[index])
        return StreamAnswer(answer, *self._last, smoothed)


def _keeps_all(policy: str | None, name: str, kind: SourceKind) -> bool:
    if policy is None:
        return name in WAITING_SOURCES
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    if policy == "wait" and kind.live:
        raise UsageError(
            f"--policy wait is for sources that wait; a {name} source does not, and its frames would come later and later. "
            "Leave it at newest."
        )
    return policy == "wait"


def _warm_up(predictor: Predictor) -> None:
    """The first run of a network takes longer, and is not to be paid by the first frame."""
    size = predictor.bundle.preprocessing
    predictor(np.zeros((size.height, size.width, 3), dtype=np.uint8))


def _drawn(overlay: Overlay, shown: StreamAnswer) -> Pixels:
    answer = shown.answer
    assert answer.pixels is not None
    lines = overlay_lines(
        shown.label, shown.score, fps=answer.fps, inference=answer.inference, dropped=answer.dropped, error=answer.error
    )
    return overlay.draw(answer.pixels, lines)
