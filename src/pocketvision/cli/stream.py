"""`pocketvision stream`."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketvision.cli.answer_options import Details, Margin, Of, Tasks, Then, listed, once
from pocketvision.cli.display import shown_cell, write_json_option
from pocketvision.cli.options import BackendName, BundleArgument, Device, JsonFile
from pocketvision.cli.terminal import flush, stderr, write_cells, write_json_line
from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.streaming.timeouts import OPEN_TIMEOUT, READ_TIMEOUT

if TYPE_CHECKING:
    from pocketvision.streaming.lines import StreamAnswer
    from pocketvision.streaming.summary import StreamSummary

STANDARD_OUTPUT = "-"
FOLLOWING = "majority"
"""How objects are followed where a line is watched and nothing else is said."""


Source = Annotated[
    str, typer.Option(help="A camera's number (0), a video file, a URL (rtsp, tcp, http …), a folder, or test-pattern.")
]
CropOption = Annotated[
    str | None,
    typer.Option("--crop", metavar="X,Y,W,H", help="The part of every frame that is answered, in pixels as shown."),
]
Policy = Annotated[
    str | None,
    typer.Option(
        help="newest: the model gets the newest frame, older ones are dropped; wait: every frame is answered.  "
        "[default: wait for files and folders, else newest]"
    ),
]
Every = Annotated[
    str | None, typer.Option(metavar="TIME", help="Answer one frame in so long: 2s, 500ms, 1m.  [default: all]")
]
JsonLines = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write every answer as a line of JSON; `-` is standard output.")
]
TopK = Annotated[int, typer.Option(min=1, help="How many labels a line gets.")]
Out = Annotated[
    str, typer.Option(help="Where frames with their answers go: FILE.mp4, window, a server (URL/live/NAME) or none.")
]
Smooth = Annotated[str | None, typer.Option(help="Smooth answers over time: majority or ema.")]
SmoothSeconds = Annotated[
    float, typer.Option(min=0, help="What a majority remembers, or the moving average's time constant.")
]
Hysteresis = Annotated[
    float, typer.Option(min=0, max=1, help="How much higher a label has to score to replace the shown one.")
]
CountLine = Annotated[
    str | None,
    typer.Option(
        metavar="X1,Y1,X2,Y2", help="Count the objects that cross this line, in pixels of the frame; by class and way."
    ),
]
Seconds = Annotated[float | None, typer.Option(min=0, help="Stop after so long.  [default: at the end]")]
Fps = Annotated[float, typer.Option(help="Frames a second of test-pattern and of a folder.")]
Rate = Annotated[
    float | None,
    typer.Option(
        help="Pictures a second of a video without timestamps (.h264, .hevc).  [default: what it tells, else 25]"
    ),
]
CameraSize = Annotated[
    str | None, typer.Option(metavar="WxH", help="What a camera is asked for, such as 640x480.  [default: its own]")
]
CameraRate = Annotated[
    float | None, typer.Option(help="Pictures a second that a camera is asked for.  [default: its own]")
]
LowLatency = Annotated[
    bool,
    typer.Option("--low-latency", help="Network streams a frame time sooner; each packet has to hold a whole picture."),
]
OpenTimeout = Annotated[float, typer.Option(help="Seconds that a camera or URL has for its first pictures.")]
ReadTimeout = Annotated[float, typer.Option(help="Seconds of silence after which a camera or URL counts as broken.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Of the network.  [default: one a core]")]


def stream(
    bundle: BundleArgument,
    source: Source = "0",
    crop: CropOption = None,
    policy: Policy = None,
    every: Every = None,
    jsonl: JsonLines = None,
    top_k: TopK = 1,
    tasks: Tasks = None,
    detail: Details = None,
    then: Then = None,
    of: Of = None,
    margin: Margin = 0.0,
    map: Annotated[
        bool, typer.Option("--map", help="Show where the answer is seen, of a bundle with a map (export --with-map).")
    ] = False,
    out: Out = "none",
    smooth: Smooth = None,
    smooth_seconds: SmoothSeconds = 0.5,
    hysteresis: Hysteresis = 0.1,
    count_line: CountLine = None,
    seconds: Seconds = None,
    fps: Fps = 30.0,
    rate: Rate = None,
    camera_size: CameraSize = None,
    camera_rate: CameraRate = None,
    low_latency: LowLatency = False,
    open_timeout: OpenTimeout = OPEN_TIMEOUT,
    read_timeout: ReadTimeout = READ_TIMEOUT,
    threads: Threads = None,
    backend: BackendName = None,
    device: Device = "cpu",
    json: JsonFile = None,
) -> None:
    """Answer the frames of a camera, a video or a network stream until it ends; Ctrl-C ends it with a summary.

    Exit code 0, also after Ctrl-C; 1 when the source can not be opened, or fails in the middle: what was answered is kept, and
    the files are finished. Video and network need the extra "stream".

    Examples:

        pocketvision stream runs/leaves/bundle --source 0 --jsonl answers.jsonl

        pocketvision stream runs/leaves/bundle --source rtsp://camera.local/live --smooth ema --crop 100,0,720,720

        pocketvision stream runs/leaves/bundle --source visit.mp4 --out answered.mp4

        pocketvision stream runs/people/bundle --source 0 --then runs/faces/bundle --of person --out window

        pocketvision stream runs/leaves/bundle --source 0 --out http://127.0.0.1:8000/live/door
    """
    from pocketvision.tasks.details import details_of_texts
    from pocketvision.workflows.stream import Smoothing
    from pocketvision.workflows.stream import stream as run_stream

    to_stdout = str(jsonl) == STANDARD_OUTPUT
    show = _line_printer() if to_stdout else _change_printer()
    with _ended_by_signals() as stop:
        run_stream(
            bundle,
            source,
            crop=crop,
            policy=policy,
            every=None if every is None else parse_duration(every),
            fps=fps,
            rate=rate,
            camera_size=None if camera_size is None else parse_size(camera_size),
            camera_rate=camera_rate,
            low_latency=low_latency,
            open_timeout=open_timeout,
            read_timeout=read_timeout,
            seconds=seconds,
            smoothing=None
            if smooth is None and count_line is None
            else Smoothing(
                smooth or FOLLOWING, smooth_seconds, hysteresis, None if count_line is None else parse_line(count_line)
            ),
            jsonl=None if to_stdout else jsonl,
            top_k=top_k,
            tasks=listed(tasks),
            details=details_of_texts(detail or ()),
            then=once(then),
            of=listed(of),
            margin=margin,
            map=map,
            out=out,
            backend=backend,
            device=device,
            threads=threads,
            stop=stop,
            on_answer=None if str(json) == STANDARD_OUTPUT and not to_stdout else show,
            on_note=lambda text: stderr().print(text, soft_wrap=True),
            on_end=lambda summary: _report(summary, json),
        )


def parse_duration(text: str) -> float:
    """Seconds of `2s`, `500ms`, `1.5m`, `1h` or a plain number of seconds. Raises UsageError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|min|h)?\s*", text)
    if found is None:
        raise UsageError(f"--every {text}: expected a time such as 2s, 500ms or 1m")
    return float(found[1]) * {"ms": 1e-3, None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[found[2]]


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of `640x480`. Raises UsageError for anything else."""
    found = re.fullmatch(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*", text)
    if found is None:
        raise UsageError(f"--camera-size {text}: expected width and height in pixels, such as 640x480")
    return int(found[1]), int(found[2])


def parse_line(text: str) -> tuple[float, float, float, float]:
    """The ends of `0,240,640,240`. Raises UsageError for anything else."""
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--count-line {text}: expected two points in pixels, such as 0,240,640,240") from error
    return x1, y1, x2, y2


def _report(summary: "StreamSummary", json: Path | None) -> None:
    """The summary, however the stream ended; nothing when it never began."""
    if summary.ended_by == "error" and summary.read == 0:
        return
    write_json_option(json, summary.to_dict())
    _print_summary(summary)


@contextmanager
def _ended_by_signals() -> "Iterator[threading.Event]":
    """An event that Ctrl-C sets, and the signals of service managers and closed terminals. A second one interrupts at once."""
    stop = threading.Event()

    def ask(_number: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    names = ("SIGINT", "SIGTERM", "SIGHUP")  # the last when a terminal is closed; Windows has none
    before = {
        number: signal.signal(number, ask) for name in names if (number := getattr(signal, name, None)) is not None
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line_printer() -> Any:
    from pocketvision.streaming.lines import stream_line

    def show(shown: "StreamAnswer") -> None:
        write_json_line(stream_line(shown).decode("utf-8"))

    return show


def _change_printer() -> Any:
    """Prints an answer when it says something else than the last one, such as another label."""
    last: list[object] = []

    def show(shown: "StreamAnswer") -> None:
        answer, said = shown.answer, shown.cells or [[shown.answer.error, 0.0]]
        if last != [cells[0] for cells in said]:
            last[:] = [cells[0] for cells in said]
            where = answer.frame.picture.name or f"frame {answer.frame.index}"
            seconds = answer.inference if answer.latency is None else answer.latency
            write_cells(where, *(shown_cell(cell) for cells in said for cell in cells), f"{1e3 * seconds:.0f} ms")
            flush()

    return show


def _print_summary(summary: "StreamSummary") -> None:
    counts = [
        f"{counted(summary.read, 'frame')} read",
        f"{summary.answered} answered ({summary.failed} could not be)",
        f"{summary.dropped} dropped",
    ]
    counts += [f"{summary.skipped} skipped"] if summary.skipped else []
    counts += [f"{summary.damaged} damaged", counted(summary.reconnects, "reconnect")]
    counts += [f"{summary.unpublished} not published"] if summary.unpublished else []
    figures = [f"{summary.fps:.1f} answers/s"]
    figures += [f"{summary.speed:.2f} times real time"] if summary.speed is not None else []
    for name, middle, high in (
        ("latency", summary.latency_ms_p50, summary.latency_ms_p95),
        ("inference", summary.inference_ms_p50, summary.inference_ms_p95),
    ):
        figures += [f"{name} {middle:.1f} ms (p95 {high:.1f} ms)"] if middle is not None and high is not None else []
    stderr().print(f"{', '.join(counts)} in {summary.seconds:.1f} s: {'; '.join(figures)}", soft_wrap=True)
