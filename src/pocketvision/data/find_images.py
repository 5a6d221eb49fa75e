"""Which images a user means: files, folders, patterns, and lists that arrive line by line."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pocketvision.data.delimited_text import text_lines
from pocketvision.data.image_files import (
    SUFFIXES,
    existing_form,
    images_below,
    is_skipped_folder,
    no_images,
    why_left_out,
)
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.standard_input import STANDARD_INPUT, Lines, lines_of
from pocketvision.data.table_paths import plain_path
from pocketvision.errors import UsageError
from pocketvision.printable import quoted

_LINES_LOOKED_AT = 5


def find_images(
    images: Iterable[str | Path], lines: Lines | None = None, counter: LeftOutCounter | None = None
) -> Iterator[Path | bytes]:
    """Yield the images named by files, folders (searched with everything below), globs, and `-` for what `lines` holds.

    In the order given; a folder's images sorted. A file that is named is yielded even when it does not exist, so that it
    becomes a row with an error. One at a time: neither a folder nor `lines` is read to its end first. What a search
    leaves out goes into `counter`.

    lines: paths, or a binary stream of them (in UTF-8, UTF-16 or UTF-32); a stream may also be one picture, which is yielded
    as bytes.

    Raises UsageError when a folder or a pattern holds no image, for `-` without `lines` or with none in it, and for a file
    that is a list of images.
    """
    counter = LeftOutCounter() if counter is None else counter
    for image in images:
        if str(image) == STANDARD_INPUT:
            if lines is None:
                raise UsageError("- stands for a picture or a list of paths on standard input, and there is none here")
            yield from _named_by(lines)
            continue
        path = Path(image)
        own = LeftOutCounter()
        if path.is_dir():
            below = (path / name for name in images_below(path, "", own, passed=set(), skip_unreadable=True))
            yield from _some(below, f"{path}: there is no image in this folder or below it", own)
        elif not os.path.lexists(path) and glob.has_magic(str(image)):
            yield from _some(_matching(str(image), own), f"{image}: no image matches this pattern", own)
        else:
            _refuse_list(path)
            yield _existing(path)
        for each in own.result():
            counter.add(each.reason, each.example, each.count)


def _named_by(lines: Lines) -> Iterator[Path | bytes]:
    """The one picture that a stream is, or the paths of a list."""
    held = lines_of(lines)
    if isinstance(held, bytes):
        yield held
        return
    found = False
    for line in held:
        if name := line.rstrip("\r\n").removeprefix("\ufeff"):
            found = True
            yield _existing(Path(name))
    if not found:
        raise UsageError("Standard input holds no path. Expected an image file, or one path a line.")


def _existing(path: Path) -> Path:
    """`path`, or where it does not exist the file that it means: see `plain_path` and `existing_form`."""
    if os.path.lexists(path):
        return path
    plain = Path(plain_path(str(path)))
    other = plain if os.path.lexists(plain) else existing_form(plain)
    return other if os.path.lexists(other) else path


def _refuse_list(path: Path) -> None:
    """Raise UsageError for a file that holds the paths of images and is none."""
    if path.suffix.lower() in SUFFIXES or not path.is_file() or why_left_out(path) != "not_an_image":
        return
    try:
        for place, (_, line) in enumerate(text_lines(path)):
            if place >= _LINES_LOOKED_AT:
                return
            cells = line.replace(";", ",").replace("\t", ",").split(",")
            named = next((cell for cell in cells if Path(cell.strip(' "')).suffix.lower() in SUFFIXES), None)
            if named is not None:
                break
        else:
            return
    except UsageError:
        return
    what = "table" if len(cells) > 1 else "list"
    hint = "`evaluate` reads tables; here, give" if what == "table" else "Give"
    raise UsageError(
        f"{path}: this is a {what} of images ({quoted(named.strip())} …), and no image itself. {hint} the paths on standard "
        f"input, one a line: pocketvision predict BUNDLE - < list.txt"
    )


def _some(paths: Iterator[Path], complaint: str, counter: LeftOutCounter) -> Iterator[Path]:
    found = False
    for path in paths:
        found = True
        yield path
    if not found:
        raise no_images(complaint, counter)


def _matching(pattern: str, counter: LeftOutCounter) -> Iterator[Path]:
    fixed = _parts_before_magic(pattern)
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 (Path.glob takes no absolute patterns)
        path = Path(name)
        if path.is_dir():
            continue
        if any(is_skipped_folder(part) for part in path.parent.parts[fixed:]):
            counter.add("system_folder", name)
        elif reason := why_left_out(path):
            counter.add(reason, name)
        else:
            yield path


def _parts_before_magic(pattern: str) -> int:
    """How many of a pattern's parts the user wrote out: folders named in full are meant, whatever they are called."""
    for place, part in enumerate(Path(pattern).parts):
        if glob.has_magic(part):
            return place
    return len(Path(pattern).parts)
