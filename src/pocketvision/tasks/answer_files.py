"""Answers as files of their own, in a folder: where a kind of task has such a form, as a mask has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pocketvision.atomic_files import replacing
from pocketvision.errors import PocketVisionError, UsageError, unknown_name
from pocketvision.growing_file import growing_file
from pocketvision.tasks.rows import Row, is_folder, json_row
from pocketvision.tasks.task import MASK_FORMS, Detail
from pocketvision.tasks.wire import Kinds, wire_of

NO_MASKS = "none"
ROWS = "answers.jsonl"
"""The rows beside the files."""


def has_files(kinds: Kinds) -> bool:
    """Whether one of the tasks has a form as a file."""
    return any(wire_of(kind).file is not None for kind in kinds.values())


def row_detail(detail: Detail, masks: str | None, out: Path | None) -> Detail:
    """How much of an answer rows say, with masks in one of MASK_FORMS, or none; None: runs of pixels, but none beside files of
    their own. Raises UsageError for another form."""
    if masks is not None and masks not in (*MASK_FORMS, NO_MASKS):
        raise unknown_name("form of masks", masks, (*MASK_FORMS, NO_MASKS))
    wanted = masks or (NO_MASKS if out is not None and is_folder(out) else MASK_FORMS[0])
    return replace(detail, masks=False) if wanted == NO_MASKS else replace(detail, mask_form=wanted)


@contextmanager
def folder_sink(folder: Path, kinds: Kinds, detail: Detail) -> Iterator[Callable[[Row], object]]:
    """A function that writes an image's answers as files called as the image is (`NAME.png`, and `NAME.TASK.png` of several
    tasks), and its row, as `detail` says, into ROWS. Of two images of one name the later gets a number.

    Raises UsageError for tasks without such a form, and a folder that holds anything; PocketVisionError where it can not be
    written.
    """
    if not has_files(kinds):
        raise UsageError(
            f"{folder}: a folder takes masks, and this bundle answers {', '.join(kinds)}. Name a .csv or .jsonl file; "
            "of objects, --to says as which pictures with boxes."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already, and nothing is ever overwritten. Name a new folder.")
    taken: set[str] = set()
    with growing_file(folder / ROWS, holds="rows") as write:

        def add(row: Row) -> None:
            stem = _free(Path(row.path).stem or "image", taken)
            for name, answer in row.answers.items():
                form = wire_of(answer.kind).file
                content = None if form is None else form.write(answer)
                if form is not None and content is not None:
                    own = stem if len(kinds) == 1 else f"{stem}.{name}"
                    _save(folder / f"{own}{form.suffix}", content)
            write(json_row(row, kinds, detail))

        yield add


def _save(file: Path, content: bytes) -> None:
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise PocketVisionError(f"{file}: it can not be written ({error.strerror or error}).") from error


def _free(stem: str, taken: set[str]) -> str:
    free, number = stem, 1
    while free.casefold() in taken:
        number += 1
        free = f"{stem}_{number}"
    taken.add(free.casefold())
    return free
