"""Where a detector's answers go besides rows: a data set that a person corrects and trains on, or COCO's results."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.box_writers.catalog import WRITERS, require_new, write_boxes
from pocketvision.data.coco_ids import CocoIds, coco_ids
from pocketvision.data.samples import Samples
from pocketvision.data.standard_input import STANDARD_INPUT
from pocketvision.errors import UsageError
from pocketvision.growing_file import growing_file
from pocketvision.json_text import json_text
from pocketvision.printable import counted
from pocketvision.tasks.answer_files import folder_sink
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.coco_results import coco_results
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.rows import Row, check_suffix, is_folder, row_sink
from pocketvision.tasks.task import Detail

RESULTS = ".json"
"""The suffix of COCO's results."""

Tasks = Mapping[str, TaskManifest]


@dataclass(frozen=True)
class Sink:
    """write: takes an image's row. notes: what there is to be said, once all is written."""

    write: Callable[[Row], object]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Destination:
    """out: a file or a new folder, None for nowhere. target: of WRITERS, None for a file. ids: a COCO file, whose numbers results
    have."""

    out: Path | None
    target: str | None = None
    ids: Path | None = None

    @classmethod
    def of(cls, out: Path | None, to: str | None = None, ids: Path | None = None) -> "Destination":
        """to: a format of WRITERS; a folder called like one says it too. Raises UsageError for what can not be written, before
        any work is done."""
        target = out.name if to is None and out is not None and out.name in WRITERS else to
        results = target is None and out is not None and out.suffix.lower() == RESULTS
        if ids is not None and not results:
            raise UsageError(
                f"--ids says the numbers of images and classes in COCO's results: give --out FILE{RESULTS}."
            )
        if target is None:
            if not results:
                _check_rows(out)
        elif out is None:
            raise UsageError(f"Pictures with boxes, as {target}, need a folder: --out FOLDER, a new one.")
        else:
            require_new(out, target)
        return cls(out, target, ids)


def _check_rows(out: Path | None) -> None:
    try:
        check_suffix(out)
    except UsageError as error:
        raise UsageError(
            f"{error}. Objects are also written as COCO's results ({RESULTS}), and with --to {', '.join(WRITERS)} as pictures "
            "with boxes, into a new folder."
        ) from error


@contextmanager
def answer_sink(where: Destination, tasks: Tasks, detail: Detail) -> Iterator[Sink]:
    """What takes the rows of images one by one. An error that ends the work leaves what was answered until then.

    Raises UsageError for a bundle that answers no objects, where objects are to be written.
    """
    if where.target is not None and where.out is not None:
        name = _detector(tasks, where.out)
        with _data_set(where.out, where.target, name, tasks[name].labels) as sink:
            yield sink
    elif where.out is not None and where.out.suffix.lower() == RESULTS:
        name = _detector(tasks, where.out)
        with _results(where.out, where.ids, name, tasks[name].labels) as sink:
            yield sink
    else:
        kinds = {name: task.kind for name, task in tasks.items()}
        folder = where.out if where.out is not None and is_folder(where.out) else None
        with row_sink(where.out, kinds, detail) if folder is None else folder_sink(folder, kinds, detail) as write:
            yield Sink(write)


def _detector(tasks: Tasks, out: Path) -> str:
    """The name of the task that finds objects."""
    found = [name for name, task in tasks.items() if task.kind == DETECTION]
    if len(found) != 1:
        kinds = ", ".join(task.kind for task in tasks.values())
        raise UsageError(
            f"{out}: objects are written there, and this model answers {kinds}. Write rows: --out FILE.csv."
        )
    return found[0]


@contextmanager
def _data_set(out: Path, target: str, name: str, labels: tuple[str, ...]) -> Iterator[Sink]:
    answered, require_name = _Answered(labels), WRITERS[target].require_name or (lambda _: None)
    for each in labels:
        require_name(each)

    def write(row: Row) -> None:
        if row.path == STANDARD_INPUT:
            raise UsageError(
                f"A picture from standard input has no file that could be copied into {out}. Name its file."
            )
        require_name(Path(row.path).name)
        answered.add(row.path, row.answers.get(name))

    sink = Sink(write)
    try:
        yield sink
    except BaseException as error:
        if answered.paths:
            written = write_boxes(answered.samples(), target, out)
            error.add_note(f"{out} holds the images until then: {written.images}.")
        raise
    written = write_boxes(answered.samples(), target, out)
    sink.notes.append(f"{out}: {counted(written.images, 'image')} with {written.boxes:,} boxes, as {target}.")
    sink.notes.extend(written.lines)
    if not written.boxes:
        sink.notes.append("Nothing was found; `pocketvision threshold` chooses lower thresholds.")


class _Answered:
    """Images with their answers, as they come. Some 40 bytes a box."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self.paths: list[str] = []
        self._found: list[Detections | None] = []

    def add(self, path: str, answer: object) -> None:
        """answer: None of an image that could not be read."""
        self.paths.append(Path(path).absolute().as_posix())
        self._found.append(answer if isinstance(answer, Detections) else None)

    def samples(self) -> Samples:
        """The answers as truth."""
        found = [each for each in self._found if each is not None]
        lengths = [0 if each is None else len(each) for each in self._found]
        columns: dict[str, NDArray[np.generic]] = {
            "boxes": np.concatenate([np.zeros((0, 4)), *(each.boxes for each in found)]),
            "classes": np.concatenate([np.zeros(0, np.int64), *(each.classes for each in found)]),
            "scores": np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)]),
        }
        present = np.array([each is not None for each in self._found], np.bool_)
        truth = BoxLabels.flat(np.cumsum([0, *lengths]), columns, self._labels, present)
        return Samples(Path(), self.paths, {DETECTION: truth})


@contextmanager
def _results(out: Path, ids: Path | None, name: str, labels: tuple[str, ...]) -> Iterator[Sink]:
    """A list, an element a line. Without `ids` images are numbered from 1 in their order, and classes in the bundle's."""
    known = None if ids is None else coco_ids(ids)
    numbers = {each: place for place, each in enumerate(labels, 1)} if known is None else known.classes
    heard = np.array([each in numbers for each in labels], np.bool_)
    count = passed = 0
    with growing_file(out, holds="objects", header=b"[") as add:
        lines = 0

        def write(row: Row) -> None:
            nonlocal count, passed, lines
            count += 1
            image = count if known is None else known.image(row.path)
            answer = row.answers.get(name)
            if image is None or not isinstance(answer, Detections):
                passed += image is None
                return
            for each in coco_results(answer.take(heard[answer.classes]), image, numbers):
                add((b",\n" if lines else b"\n") + json_text(each).encode())
                lines += 1

        sink = Sink(write)
        try:
            yield sink
        except BaseException:
            if count:
                add(b"\n]\n")
            raise
        add(b"\n]\n")
    sink.notes.extend(_said_of_numbers(known, labels, heard, passed))


def _said_of_numbers(
    known: CocoIds | None, labels: tuple[str, ...], heard: NDArray[np.bool_], passed: int
) -> Iterator[str]:
    if known is None:
        yield (
            "Images are numbered from 1 in their order, classes from 1 in the model's; --ids FILE takes a COCO file's numbers."
        )
    if passed:
        yield f"Left out: {counted(passed, 'image')} that the file of --ids does not name."
    unheard = [each for each, there in zip(labels, heard.tolist(), strict=True) if not there]
    if unheard:
        yield f"Left out: objects of {counted(len(unheard), 'class')} that the file of --ids does not name ({unheard[0]})."
