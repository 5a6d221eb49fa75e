"""Which images a user means: files, folders, patterns, and lists that arrive line by line."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pocketvision.data.image_files import images_below, is_skipped_folder, no_images, why_left_out
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.errors import UsageError

STANDARD_INPUT = "-"


def find_images(
    images: Iterable[str | Path], lines: Iterable[str] | None = None, counter: LeftOutCounter | None = None
) -> Iterator[Path]:
    """Yield the images named by files, folders (searched with everything below), globs, and `-` for paths in `lines`.

    In the order given; a folder's images sorted. A file that is named is yielded even when it does not exist, so that it
    becomes a row with an error. One at a time: neither a folder nor `lines` is read to its end first. What a search
    leaves out goes into `counter`.

    Raises UsageError when a folder or a pattern holds no image, and for `-` without `lines`.
    """
    counter = LeftOutCounter() if counter is None else counter
    for image in images:
        if str(image) == STANDARD_INPUT:
            if lines is None:
                raise UsageError("- stands for a list of paths on standard input, and there is none here")
            yield from (Path(line.rstrip("\r\n")) for line in lines if line.strip())
            continue
        path = Path(image)
        own = LeftOutCounter()
        if path.is_dir():
            below = (path / name for name in images_below(path, "", own, passed=set(), skip_unreadable=True))
            yield from _some(below, f"{path}: there is no image in this folder or below it", own)
        elif not os.path.lexists(path) and glob.has_magic(str(image)):
            yield from _some(_matching(str(image), own), f"{image}: no image matches this pattern", own)
        else:
            yield path
        for each in own.result():
            counter.add(each.reason, each.example, each.count)


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
