"""Where files of boxes lie in a folder: at its top, below a lone folder, in folders of annotations, or split by split."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pocketvision.data.boxes.pictures import Pictures
from pocketvision.data.image_files import is_skipped_folder
from pocketvision.data.natural_order import natural_sorted, words_of
from pocketvision.data.split_folders import split_in_name, words

_DEEPEST = 4  # levels of lone folders that are gone down
_LOOKED_AT = 40  # files of a folder that are looked into
_ANNOTATIONS = words_of("annotations annotation annots annot labels label xml xmls json jsons bboxes boxes gt anns")
_PICTURES = ("images", "JPEGImages", "imgs", "data", "img")


class Place(NamedTuple):
    """A file or folder of annotations. split: index into SPLITS that its folder or name says, -1 for none. base: the data's
    top."""

    path: Path
    split: int
    base: Path


def index_files(path: Path, suffixes: Sequence[str], looks: Callable[[Path], bool]) -> list[Place]:
    """Files that say the boxes of many images: `path` itself, or those of the highest level that has some."""
    if path.is_file():
        base = (
            path.parent.parent
            if words(path.parent.name) and set(words(path.parent.name)) <= _ANNOTATIONS
            else path.parent
        )
        return [Place(path, -1, base)] if path.suffix.lower() in suffixes and _looks_so(looks, path) else []
    for base in bases(path):
        found = []
        for folder, split in _level(base):
            for file in files_in(folder, suffixes, _LOOKED_AT):
                if _looks_so(looks, file):
                    named = split_in_name(file.stem) if split < 0 else split
                    found.append(Place(file, -1 if named is None else named, base))
        if found:
            return found
    return []


def folders_of_files(path: Path, suffix: str, looks: Callable[[Path], bool]) -> list[Place]:
    """Folders that hold a file for each image, of which one of the first that are looked into is one of the format."""
    if path.is_file():
        return []
    for base in bases(path):
        found = [
            Place(folder, split, base)
            for folder, split in _level(base)
            if any(_looks_so(looks, file) for file in files_in(folder, (suffix,), _LOOKED_AT))
        ]
        if found:
            return found
    return []


def bases(path: Path) -> Iterator[Path]:
    """A folder, and those below it that are alone in theirs."""
    for _ in range(_DEEPEST):
        yield path
        below = folders_in(path)
        if len(below) != 1:
            return
        path = below[0]


def folders_in(folder: Path) -> list[Path]:
    """Its sub-folders but hidden ones and those of systems, by name; none of what can not be read."""
    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.is_dir() and not is_skipped_folder(each.name)]
    except OSError:
        return []
    return [folder / name for name in natural_sorted(names)]


def files_in(folder: Path, suffixes: Sequence[str], most: int | None = None) -> list[Path]:
    """Its files with one of the suffixes, by name; `most`: how many at most. None of what can not be read."""
    try:
        with os.scandir(folder) as entries:
            found = [each.name for each in entries if each.name.lower().endswith(tuple(suffixes)) and each.is_file()]
    except OSError:
        return []
    return [folder / name for name in natural_sorted(name for name in found if not name.startswith("."))[:most]]


def near(place: Path, base: Path) -> list[Path]:
    """Folders that a picture's path may start at, for what is said in `place`."""
    folder = place if place.is_dir() else place.parent
    starts = dict.fromkeys((folder, folder.parent if folder != base else base, base))
    return [each for start in starts for each in (start, *(start / name for name in _PICTURES)) if each.is_dir()]


def pictures_of(
    path: Path, places: Sequence[Place], images: Path | None
) -> tuple[Pictures, Callable[[Place], list[Path]]]:
    """Finds the pictures of a source, and where those of a place may start: nowhere but below `images` where that is given."""
    pictures = Pictures(path if path.is_dir() else places[0].base, images)
    return pictures, lambda place: [] if images is not None else near(place.path, place.base)


def _looks_so(looks: Callable[[Path], bool], file: Path) -> bool:
    """Not of a file that can not be read: whoever asks for its format is told why."""
    try:
        return looks(file)
    except OSError:
        return False


def _level(base: Path) -> Iterator[tuple[Path, int]]:
    """The folders of one level that may hold annotations, with the splits that they are of."""
    yield base, -1
    for folder in folders_in(base):
        split = split_in_name(folder.name)
        kind = set(words(folder.name))
        if split is not None:
            yield folder, split
        elif not kind or not kind <= _ANNOTATIONS:
            continue
        else:
            yield folder, -1
        for below in folders_in(folder):
            inner = split_in_name(below.name)
            if inner is not None or set(words(below.name)) & _ANNOTATIONS:
                yield below, inner if inner is not None else -1 if split is None else split
