"""How the command line shows things: consoles, and a training's progress (live on a terminal, plain lines elsewhere)."""

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pocketvision.cli.terminal import Terminal, joined, stderr, stdout, styled, write_cells, write_json_line
from pocketvision.json_text import json_text
from pocketvision.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress, TaskID

    from pocketvision.cli.time_left import TimeLeft
    from pocketvision.evaluation.evaluation import Evaluation
    from pocketvision.progress import EpochRecord, Event
    from pocketvision.tasks.rows import Row


def write_json_option(path: Path | None, values: Any) -> None:
    """Serve --json FILE: `-` is standard output.

    A file that can not be written does not end the verb: what it found is printed all the same, and the exit code is 1.
    """
    if path is None:
        return
    if str(path) == "-":
        write_json_line(json_text(values, indent=2) + "\n")
        return
    from pocketvision.atomic_files import write_json

    try:
        write_json(path, values)
    except OSError as error:
        _unwritten.append(path)
        stderr().print(
            joined(
                styled("Error: ", "bold red"),
                f"{path}: the result can not be written there ({error.strerror or error})",
            ),
            soft_wrap=True,
        )


_unwritten: list[Path] = []


def was_unwritten() -> bool:
    """Whether a file of --json could not be written since this was asked last."""
    found = bool(_unwritten)
    _unwritten.clear()
    return found


def duration_and_rate(images: int, seconds: float) -> str:
    """How long it took, and how many images a second where that says something."""
    shown = f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 60 else _duration(seconds)
    return f"{shown} ({images / seconds:.0f} images/s)" if images > 1 and seconds > 0 else shown


def print_row(row: "Row", top_k: int) -> None:
    """An image's line: its path and its answers, or its error, with tabs between them."""
    from pocketvision.tasks.task import Detail
    from pocketvision.tasks.wire import brief

    if row.error is not None:
        write_cells(row.path, "ERROR", row.error)
        return
    told = brief(row.answers, Detail(top_k=top_k))
    unsure = [
        "none of these" if getattr(each, "none_of_these", False) else "unsure"
        for each in row.answers.values()
        if getattr(each, "unsure", False)
    ]
    write_cells(row.path, *(shown_cell(cell) for cells in told for cell in cells if cell != ""), *unsure)


def shown_cell(cell: object) -> object:
    """A cell of an answer, numbers with four decimals."""
    return f"{cell:.4f}" if isinstance(cell, float) else cell


def print_evaluations(evaluations: "Sequence[Evaluation]") -> None:
    """A line a task of an evaluation: its figures in short, what the images were to the training; another line about those that
    the model has seen before."""
    from pocketvision.printable import counted

    for evaluation in evaluations:
        name = (evaluation.name[:1].upper() + evaluation.name[1:]).replace("_", " ")
        for task, measured in evaluation.tasks.items():
            whose = name if len(evaluation.tasks) == 1 else f"{name}, {task}"
            images = counted(measured.metrics.images, "image")
            stdout().print(f"{whose}: {measured.metrics.text}, {images}, {evaluation.word}", soft_wrap=True)
            if measured.undefined and "left out" not in measured.metrics.text:  # which names them
                names = ", ".join(measured.undefined[:8]) + (", …" if len(measured.undefined) > 8 else "")
                stdout().print(f"  Undefined, as no image has them, and in no mean: {names}", soft_wrap=True)
        for further in evaluation.further.values():
            stdout().print(f"  {further.text}", soft_wrap=True)
        if evaluation.overlap_text:
            stdout().print(f"  {evaluation.overlap_text}", soft_wrap=True)


# Steps that recur within a training: they have a bar, and no line.
QUIET_STEPS = {"cache"}
STEP_NAMES = {
    "audit": "Checking images",
    "cache": "Computing features",
    "export": "Exporting",
    "tune": "Raising the learning rate",
    "evaluate": "Evaluating",
    "once": "Evaluating, each looked at once",
    "robustness": "Making pictures worse",
    "compare": "Looking for images that it learned from",
}


class TrainingDisplay:
    """Shows a workflow's events. Use as a context manager, and hand the object itself over as `on_event`."""

    def __init__(self, console: Terminal | None = None) -> None:
        self._console = console or stderr()
        self._live = self._console.is_terminal
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._shown: tuple[object, ...] = ()
        self._step_started = self._last_event = time.monotonic()
        self._time_left: TimeLeft | None = None  # of a training; from its plan on

    def __enter__(self) -> "TrainingDisplay":
        if self._live:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                TextColumn("{task.fields[left]}", markup=False),
                console=self._console,
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, event: "Event") -> None:
        from pocketvision.cli.time_left import TimeLeft
        from pocketvision.progress import Counted, EpochEnded, Note, Planned, StepProgress

        if isinstance(event, Planned) and self._time_left is None:
            self._time_left = TimeLeft()
        if self._time_left is not None:
            self._time_left(event)
        if isinstance(event, Note):
            self._console.print(f"  {event.text}", soft_wrap=True)
        elif isinstance(event, Counted):
            self._counted(event.step, event.done, event.total)
        elif isinstance(event, EpochEnded):
            self._epoch(event)
        elif isinstance(event, StepProgress):
            figures = f"loss {event.loss:.3f}  {event.accuracy:.1%} right  {event.images_per_second:.0f} images/s"
            self._bar(
                (event.stage, event.epoch),
                f"Stage {event.stage}, epoch {event.epoch}",
                event.step,
                event.steps,
                figures,
            )
        self._last_event = time.monotonic()

    @property
    def _left(self) -> str:
        """Of the whole run, not of this step."""
        seconds = None if self._time_left is None else self._time_left.seconds
        return "" if seconds is None else f"about {_duration(seconds)} left"

    def _counted(self, step: str, done: int, total: int) -> None:
        from pocketvision.printable import counted

        name = STEP_NAMES.get(step, step)
        if self._shown != (step,):
            self._step_started = self._last_event  # the first image was begun when whatever was before ended
        self._bar((step,), name, done, total, "")
        if done == total and step not in QUIET_STEPS:
            seconds = time.monotonic() - self._step_started
            self._console.print(f"{name}: {counted(total, 'image')} in {duration_and_rate(total, seconds)}")

    def _epoch(self, event: Any) -> None:
        record = event.record
        best = styled("  best", "green") if event.best else ""
        figures = (
            f"accuracy {record.train_accuracy:.1%}  validation loss {record.val_loss:.3f}  accuracy {record.val_accuracy:.1%}"
            if not record.tasks
            else "  ".join(["validation", *(f"{name} {value:.3f}" for name, value in record.validated.items())])
        )
        line = (
            f"Stage {record.stage}, epoch {record.epoch:>2}/{event.epochs}  loss {record.train_loss:.3f}  {figures}  "
            f"lr {record.lr:.0e}  {_pace(record)}  {self._left}"
        ).rstrip()
        self._console.print(joined(line, best), soft_wrap=True)

    def _bar(self, shown: tuple[object, ...], text: str, done: int, total: int, figures: str) -> None:
        if self._progress is None:
            self._shown = shown
            return
        if self._shown != shown and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        if self._task is None:
            self._task = self._progress.add_task(printable(text), total=total, figures=figures, left="")
        self._progress.update(self._task, completed=done, total=total, figures=figures, left=self._left)
        self._shown = shown


def _pace(record: "EpochRecord") -> str:
    """How fast an epoch was, the share of it that was waited for pictures, and the most memory; no more than is known."""
    waited = f", {record.waiting:.0%} waiting" if record.waiting else ""
    held = f", {record.peak_memory / 1e3:.1f} GB" if record.peak_memory else ""
    gpu = f" and {record.gpu_memory / 1e3:.1f} GB of the GPU" if record.gpu_memory else ""
    return f"{record.images_per_second:.0f} images/s{waited}{held}{gpu}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
