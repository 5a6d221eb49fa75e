"""`pocketvision stream`."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import BackendName, Device, JsonFile
from pocketvision.cli.terminal import flush, stderr, write_cells, write_json_line

if TYPE_CHECKING:
    from pocketvision.streaming.summary import StreamSummary
    from pocketvision.workflows.stream_lines import StreamAnswer

STANDARD_OUTPUT = "-"


def stream(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, or the name of a pre-trained model.")],
    source: Annotated[
        str,
        typer.Option(help="A camera's number (0), a video file, a URL (rtsp, tcp, http …), a folder, or test-pattern."),
    ] = "0",
    crop: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="The part of every frame that is answered, in pixels.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="newest: the model gets the newest frame, older ones are dropped; wait: every frame is answered.  "
            "[default: wait for files and folders, else newest]"
        ),
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every answer as a line of JSON; `-` is standard output.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels a line gets.")] = 1,
    out: Annotated[
        str,
        typer.Option(help="Where frames with their answers go: FILE.mp4, window, a server (URL/live/NAME) or none."),
    ] = "none",
    smooth: Annotated[str | None, typer.Option(help="Smooth answers over time: majority or ema.")] = None,
    smooth_seconds: Annotated[
        float, typer.Option(min=0, help="What a majority remembers, or the moving average's time constant.")
    ] = 0.5,
    hysteresis: Annotated[
        float, typer.Option(min=0, max=1, help="How much higher a label has to score to replace the shown one.")
    ] = 0.1,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long.  [default: at the end]")] = None,
    fps: Annotated[float, typer.Option(help="Frames a second of test-pattern and of a folder.")] = 30.0,
    low_latency: Annotated[
        bool,
        typer.Option(
            "--low-latency", help="Network streams a frame time sooner; each packet has to hold a whole picture."
        ),
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the network.  [default: one a core]")] = None,
    backend: BackendName = None,
    device: Device = "cpu",
    json: JsonFile = None,
) -> None:
    """Answer the frames of a camera, a video or a network stream until it ends; Ctrl-C ends it with a summary.

    Exit code 0, also after Ctrl-C; 1 when the source can not be opened or read. Video and network need the extra "stream".

    Examples:

        pocketvision stream runs/leaves/bundle --source 0 --jsonl answers.jsonl

        pocketvision stream runs/leaves/bundle --source rtsp://camera.local/live --smooth ema --crop 100,0,720,720

        pocketvision stream runs/leaves/bundle --source visit.mp4 --out answered.mp4

        pocketvision stream runs/leaves/bundle --source 0 --out http://127.0.0.1:8000/live/door
    """
    from pocketvision.workflows.stream import Smoothing
    from pocketvision.workflows.stream import stream as run_stream

    to_stdout = str(jsonl) == STANDARD_OUTPUT
    show = _line_printer(top_k) if to_stdout else _change_printer()
    with _ended_by_signals() as stop:
        summary = run_stream(
            bundle,
            source,
            crop=crop,
            policy=policy,
            fps=fps,
            low_latency=low_latency,
            seconds=seconds,
            smoothing=None if smooth is None else Smoothing(smooth, smooth_seconds, hysteresis),
            jsonl=None if to_stdout else jsonl,
            top_k=top_k,
            out=out,
            backend=backend,
            device=device,
            threads=threads,
            stop=stop,
            on_answer=None if str(json) == STANDARD_OUTPUT and not to_stdout else show,
        )
    write_json_option(json, summary.to_dict())
    _print_summary(summary)


@contextmanager
def _ended_by_signals() -> "Iterator[threading.Event]":
    """An event that Ctrl-C sets, and the signal that service managers send. A second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def ask(_number: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line_printer(top_k: int) -> Any:
    from pocketvision.workflows.stream_lines import stream_line

    def show(shown: "StreamAnswer") -> None:
        write_json_line(stream_line(shown, top_k).decode("utf-8"))

    return show


def _change_printer() -> Any:
    """Prints an answer when its label is another than the last one's."""
    last: list[str | None] = []

    def show(shown: "StreamAnswer") -> None:
        name = shown.label or shown.answer.error
        if last != [name]:
            last[:] = [name]
            answer = shown.answer
            where = answer.frame.picture.name or f"frame {answer.frame.index}"
            write_cells(where, name, f"{shown.score:.4f}", f"{1e3 * answer.latency:.0f} ms")
            flush()

    return show


def _print_summary(summary: "StreamSummary") -> None:
    latency = (
        ""
        if summary.latency_ms_p50 is None
        else (f"; latency {summary.latency_ms_p50:.1f} ms (p95 {summary.latency_ms_p95:.1f} ms)")
    )
    unpublished = f", {summary.unpublished} not published" if summary.unpublished else ""
    stderr().print(
        f"{summary.read} frames read, {summary.answered} answered ({summary.failed} could not be), {summary.dropped} dropped, "
        f"{summary.damaged} damaged, {summary.reconnects} reconnects{unpublished} in {summary.seconds:.1f} s: "
        f"{summary.fps:.1f} answers/s{latency}",
        soft_wrap=True,
    )
