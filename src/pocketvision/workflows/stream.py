"""stream: frames of a camera, a file or the network in; answers out, as JSON Lines, as a video, in a window, or to a function."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.redaction import redacted_url
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.streaming.answers import Answer, Streaming, streaming
from pocketvision.streaming.frame_maps import FrameMaps, mapping
from pocketvision.streaming.lines import StreamAnswer, open_lines, stream_line
from pocketvision.streaming.outputs import Output, find_output
from pocketvision.streaming.overlay import Overlay
from pocketvision.streaming.reader import BackOff
from pocketvision.streaming.settings import StreamSettings, stream_settings
from pocketvision.streaming.silence import SilenceMonitor
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.summary import StreamSummary, Tally, summarised
from pocketvision.streaming.task_switch import TaskSwitch
from pocketvision.streaming.timeouts import OPEN_TIMEOUT, READ_TIMEOUT
from pocketvision.streaming.view import StreamView, drawn
from pocketvision.tasks.catalog import wanted
from pocketvision.tasks.details import detail_of
from pocketvision.tasks.task import Smoothing
from pocketvision.workflows.load import load_chain

__all__ = ["Smoothing", "TaskSwitch", "stream"]

logger = logging.getLogger(__name__)


def stream(
    bundle: str | Path,
    source: str | Path,
    *,
    crop: str | None = None,
    policy: str | None = None,
    every: float | None = None,
    fps: float = 30.0,
    rate: float | None = None,
    camera_size: tuple[int, int] | None = None,
    camera_rate: float | None = None,
    low_latency: bool = False,
    open_timeout: float = OPEN_TIMEOUT,
    read_timeout: float = READ_TIMEOUT,
    seconds: float | None = None,
    smoothing: Smoothing | None = None,
    jsonl: str | Path | None = None,
    top_k: int = 1,
    tasks: Sequence[str] | None = None,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    then: str | Path | None = None,
    of: Sequence[str] | None = None,
    margin: float = 0.0,
    switch: TaskSwitch | None = None,
    map: bool = False,
    out: str | Path = "none",
    backend: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    stop: threading.Event | None = None,
    on_answer: Callable[[StreamAnswer], None] | None = None,
    on_note: Callable[[str], None] = logger.warning,
    on_end: Callable[[StreamSummary], None] | None = None,
) -> StreamSummary:
    """Answer the frames of `source` with a bundle or a pre-trained name until it ends, `seconds` are over or `stop` is set.

    source: a camera's number, a video file, a URL, a folder of images or `test-pattern`. crop: `x,y,width,height` in pixels.
    policy: `newest` gives the model the newest frame and drops those before it, `wait` answers every one; None waits for files
    and folders alone. every: answer one frame in so many seconds. fps … read_timeout: see SourceSettings. jsonl: a file of
    answers. out: `FILE.mp4`, `window`, `http://HOST/live/NAME` of a server that takes live streams, or `none`. threads: of the
    network, None for every core. on_answer is called with every answer, on_note with what is to be said, in the calling thread;
    on_end with the summary, whatever ends the stream. Files are finished and kept all the same. tasks, details, then, of, margin:
    see predict. map: frames that are shown have a map of where the answer is seen over them (export --with-map). switch: turns
    tasks off and on while the stream runs; a server's viewers do that too.

    Raises UsageError, BundleError, SourceError (it can not be opened or read any further) and MissingExtraError.
    """
    reading = SourceSettings(fps, rate, low_latency, camera_size, camera_rate, open_timeout, read_timeout)
    settings = stream_settings(str(source), reading, crop=crop, policy=policy, every=every, seconds=seconds)
    outputs = _Outputs(str(out), None if jsonl is None else Path(jsonl), smoothing, on_answer, on_note, on_end)
    find_output(outputs.out)
    detail = detail_of(top_k, tasks, details, looked=then is not None)
    predictor = load_chain(bundle, then, of, margin, backend=backend, device=device, threads=threads, detail=detail)
    predictor = mapping(predictor) if map else predictor
    switched = (switch or TaskSwitch()).answering(predictor)
    if predictor.bundle.credit:
        on_note(predictor.bundle.credit)
    _warm_up(predictor)
    return _run(settings, outputs, switched, predictor, stop or threading.Event())


@dataclass(frozen=True)
class _Outputs:
    """Where answers go, and what is called when."""

    out: str
    jsonl: Path | None
    smoothing: Smoothing | None
    on_answer: Callable[[StreamAnswer], None] | None
    on_note: Callable[[str], None]
    on_end: Callable[[StreamSummary], None] | None


def _run(
    settings: StreamSettings, outputs: _Outputs, switch: TaskSwitch, predictor: Answering, stop: threading.Event
) -> StreamSummary:
    """Answer until something ends it, and sum up, whatever that is."""
    tally, started, ended_by = Tally(positions=settings.name == "video file"), time.monotonic(), "error"
    running: Streaming | None = None
    sink: Output | None = None
    try:
        with ExitStack() as opened:
            sink = output = opened.enter_context(find_output(outputs.out).open(outputs.out, switch.take))
            show = opened.enter_context(_showing(settings, outputs, switch, predictor, output))

            def stopped() -> bool:
                over = settings.seconds is not None and time.monotonic() - started >= settings.seconds
                return stop.is_set() or output.closed or over

            running = opened.enter_context(_streaming(settings, outputs, switch, predictor, stopped))
            for answer in running:
                tally.add(time.monotonic(), answer)
                show(answer)
            ended = "stop" if stop.is_set() or output.closed else "time" if stopped() else "end"
        ended_by = ended
    finally:
        summary = summarised(tally, running, time.monotonic() - started, ended_by, 0 if sink is None else sink.dropped)
        if outputs.on_end is not None:
            outputs.on_end(summary)
    return summary


def _streaming(
    settings: StreamSettings, outputs: _Outputs, switch: TaskSwitch, predictor: Answering, stopped: Callable[[], bool]
) -> AbstractContextManager[Streaming]:
    kind, reading = settings.kind, replace(settings.reading, white_level=predictor.bundle.preprocessing.white_level)
    name = f"camera {settings.text}" if settings.name == "camera" else redacted_url(settings.text)
    return streaming(
        lambda events: kind.read(settings.text, reading, events),
        switch,
        stopped=stopped,
        keep_all=settings.keep_all,
        pace=settings.pace,
        back_off=BackOff(kind.reconnects),
        crop=settings.crop,
        silence=SilenceMonitor(name, time.monotonic()) if kind.live else None,
        on_note=outputs.on_note,
    )


@contextmanager
def _showing(
    settings: StreamSettings, outputs: _Outputs, switch: TaskSwitch, predictor: Answering, sink: Output
) -> Iterator[Callable[[Answer], None]]:
    """A function that hands an answer to everything that wants it, while the block lasts."""
    tasks = wanted(predictor.bundle.tasks, predictor.detail)
    view = StreamView({name: task.kind for name, task in tasks.items()}, predictor.detail, outputs.smoothing)
    labels = (name for task in tasks.values() for name in task.labels)
    overlay = Overlay(labels) if find_output(outputs.out).draws else None
    with open_lines(outputs.jsonl) as write_line:

        def show(answer: Answer) -> None:
            # A camera's own clock may jump, and begins anew after a break; a file is smoothed and shown by its own.
            position = None if settings.kind.live else answer.frame.picture.position
            clock = answer.frame.captured if position is None else position
            shown = replace(view.shown(answer, clock), detail=switch.detail)
            write_line(shown)
            if overlay is not None and answer.pixels is not None:
                line = stream_line(shown).decode("utf-8").strip()
                pixels = predictor.laid(answer.pixels) if isinstance(predictor, FrameMaps) else answer.pixels
                sink.write(drawn(overlay, pixels, shown), clock, line)
            if outputs.on_answer is not None:
                outputs.on_answer(shown)

        yield show


def _warm_up(predictor: Answering) -> None:
    """The first run of a network takes longer, and is not to be paid by the first frame."""
    size = predictor.bundle.preprocessing
    predictor.answers(np.zeros((size.height, size.width, 3), dtype=np.uint8))
