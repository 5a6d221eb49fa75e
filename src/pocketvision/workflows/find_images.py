"""Which images a user means: files, folders, patterns, and lists that arrive line by line."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pocketvision.errors import UsageError
from pocketvision.preprocessing import SUFFIXES

STANDARD_INPUT = "-"


def find_images(images: Iterable[str | Path], lines: Iterable[str] | None = None) -> Iterator[Path]:
    """Yield the images named by files, folders (searched with everything below), globs, and `-` for paths in `lines`.

    In the order given; a folder's images sorted. A file that is named is yielded even when it does not exist, so that it
    becomes a row with an error. One at a time: neither a folder nor `lines` is read to its end first.

    Raises UsageError when a folder or a pattern holds no image, and for `-` without `lines`.
    """
    for image in images:
        if str(image) == STANDARD_INPUT:
            if lines is None:
                raise UsageError("- stands for a list of paths on standard input, and there is none here")
            yield from (Path(line.rstrip("\r\n")) for line in lines if line.strip())
            continue
        path = Path(image)
        if path.is_dir():
            yield from _some(_in_folder(path), f"{path}: there is no image in this folder or below it")
        elif not os.path.lexists(path) and glob.has_magic(str(image)):
            yield from _some(_matching(str(image)), f"{image}: no image matches this pattern")
        else:
            yield path


def _some(paths: Iterator[Path], complaint: str) -> Iterator[Path]:
    found = False
    for path in paths:
        found = True
        yield path
    if not found:
        raise UsageError(f"{complaint}. Expected files that end in {', '.join(SUFFIXES)}")


def _matching(pattern: str) -> Iterator[Path]:
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 (Path.glob takes no absolute patterns)
        path = Path(name)
        if path.suffix.lower() in SUFFIXES and not path.is_dir():
            yield path


def _in_folder(folder: Path) -> Iterator[Path]:
    """Images below `folder`, hidden names apart. Links to files are followed, links to folders are not: they may loop."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES:
                yield path
