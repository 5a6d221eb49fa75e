"""YOLO: a text file an image, a line an object: class number, centre, width and height as shares of the sides."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pocketvision.data.boxes.pictures import Pictures
from pocketvision.data.boxes.places import bases, files_in, folders_in
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import hull, number
from pocketvision.data.boxes.upright import SHARES
from pocketvision.data.image_files import images_below
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.masks.outlines import Outline, Outlines
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.sources.source import ASKED, LAYOUT, OWN_FILE, Source
from pocketvision.data.split_folders import split_in_name
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_YAML = (".yaml", ".yml")
_LARGEST_YAML = 4 << 20
_NAME_LISTS = ("classes.txt", "obj.names", "_darknet.labels", "classes.names")
_ROW = re.compile(r"\s*\d+(\s+-?[\d.eE+-]+){4,}\s*$")
_NAMES = re.compile(r"^\ufeff?[\"']?names[\"']?\s*:", re.MULTILINE)
_LOOKED_AT = 20
_LONGEST_ROW = 100_000
_SPLIT_KEYS = dict(zip(SPLITS, range(3), strict=True))


@dataclass(frozen=True)
class Layout:
    """base: the data's top. splits: folders or lists of pictures with their splits, -1 for none. names: of the classes, by
    number; None where nothing says them. strict: whether a YAML says so. passed: what is named or there, and has no boxes or is
    not there."""

    base: Path
    splits: tuple[tuple[Path, int], ...]
    names: Mapping[int, str] | None
    strict: bool
    passed: tuple[str, ...] = ()


def layout_of(path: Path) -> Layout | None:
    """By a YAML with names, else by folders of text files beside folders of pictures."""
    if path.is_file():
        return _from_yaml(path) if path.suffix.lower() in _YAML else None
    for base in bases(path):
        for file in files_in(base, _YAML, _LOOKED_AT):
            found = _from_yaml(file)
            if found is not None:
                return found
        found = _from_folders(base)
        if found is not None:
            return found
    return None


def evidence(path: Path) -> int | None:
    """A YAML with names is this format's own."""
    found = layout_of(path)
    return None if found is None else OWN_FILE if found.strict else LAYOUT


def read(path: Path, options: SourceOptions, outlines: Outlines | None = None) -> Samples:
    """Lines of more numbers are polygons, whose boxes are taken; an image without a text file, or with an empty one, is a
    background. Raises UsageError for a line that is no row of numbers, and as Drawn.samples does."""
    layout = layout_of(path)
    if layout is None:
        raise UsageError(f"{path}: there is neither a data.yaml with names nor images/ beside labels/ with text files.")
    pictures = Pictures(layout.base, options.images)
    drawn = Drawn(path, pictures, outlines)
    numbers: set[int] = set()
    used: set[Path] = set()
    by_stem = {} if options.images is None else {each.stem: each for each in _text_files(layout)}
    for place, split in layout.splits if options.images is None else [(options.images, -1)]:
        for picture in _pictures(place, pictures.counter):
            there = pictures.inside(picture) if picture.is_file() else None
            row = drawn.image(there, picture.name, split=split)
            file = text_file(picture) if options.images is None else by_stem.get(picture.stem)
            if row is not None and file is not None and file not in used:
                used.add(file)
                numbers |= _add(drawn, row, file, layout.names)
            elif row is not None and file is None:
                drawn.problems.add("unlisted_images", picture.name, pictures.inside(picture))
    for file in _text_files(layout):
        if file not in used:
            drawn.image(None, file.name)
    names = layout.names
    listed = None if names is None else [names[place] for place in sorted(names)]
    said = () if names is not None else ("No file names the classes: they are called by their numbers.",)
    if layout.passed:
        said = (*said, f"Not read: {', '.join(layout.passed[:4])}; it is not there, or has no text files of boxes.")
    own = listed if names is not None else [str(place) for place in sorted(numbers)]
    return drawn.samples(Ending(options.labels, own, unit=SHARES, backgrounds=False, reading=said))


def text_file(picture: Path) -> Path | None:
    """The text file of a picture: in `labels` in place of the last `images` of its path, else beside it; None where none is."""
    parts = list(picture.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part.lower() == "images"]
    if places:
        parts[places[-1]] = "labels" if parts[places[-1]].islower() else "Labels"
    for file in dict.fromkeys((Path(*parts).with_suffix(".txt"), picture.with_suffix(".txt"))):
        if file.is_file():
            return file
    return None


def _add(drawn: Drawn, row: int, file: Path, names: Mapping[int, str] | None) -> set[int]:
    """The boxes of a file; gives the class numbers that were found."""
    found = set()
    for place, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        kind, sides = number(cells[0]), [number(cell) for cell in cells[1:]]
        if not kind.is_integer() or kind < 0 or len(sides) < 4:
            raise UsageError(
                f"{file}, line {place}: {quoted(line)} is no box. Expected a class number and four shares: class x_centre "
                "y_centre width height."
            )
        if names is not None and int(kind) not in names:
            drawn.problems.add("unknown_category", f"class {kind:g}", drawn.paths[row])
            continue
        found.add(int(kind))
        if len(sides) == 5:
            drawn.problems.add("confident_boxes", line.strip(), drawn.paths[row])
        name = str(int(kind)) if names is None else names[int(kind)]
        drawn.box(row, name, _corners(sides), outline=partial(outline_of, sides))
    return found


def outline_of(sides: Sequence[float]) -> Outline | None:
    """None of a row that is a box."""
    return Outline([sides]) if len(sides) >= 6 and len(sides) % 2 == 0 else None


def _corners(sides: Sequence[float]) -> tuple[float, ...]:
    if len(sides) in (4, 5):
        x, y, width, height = sides[:4]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return hull([*sides[0::2]], [*sides[1::2]]) if len(sides) % 2 == 0 else (math.nan,) * 4


def _from_yaml(file: Path) -> Layout | None:
    """None for a YAML that says no names of classes."""
    values = _yaml(file)
    if not isinstance(values, Mapping) or not isinstance(values.get("names"), list | Mapping):
        return None
    given = values["names"]
    pairs = given.items() if isinstance(given, Mapping) else enumerate(given)
    try:
        names = {int(place): str(name) for place, name in pairs}
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{file}: its names are {quoted(given)}; expected a list, or numbers with a name each."
        ) from error
    root = file.parent / str(values.get("path") or "")
    starts = [each for each in (root, file.parent, file.parent / "..") if each.is_dir()]
    splits, passed = [], []
    for key, split in _SPLIT_KEYS.items():
        entry = values.get(key) or (values.get("valid") if key == "val" else None)
        for each in entry if isinstance(entry, list) else [entry] if entry else []:
            place = _place(str(each), starts)
            if place is not None:
                splits.append((place, split))
            else:
                passed.append(str(each))
    if not splits:
        folders = _from_folders(file.parent)
        splits = [] if folders is None else list(folders.splits)
    if len({split for _, split in splits}) == 1 and len({place for place, _ in splits}) == 1:
        splits = [(splits[0][0], -1)]
    return Layout(file.parent, tuple(dict.fromkeys(splits)), names, True, tuple(passed)) if splits else None


def _place(entry: str, starts: Sequence[Path]) -> Path | None:
    """A folder or list of pictures, where it starts at one of the folders; Roboflow's begin with ../ that lead out."""
    for start in starts:
        for each in (start / entry.removeprefix("../"), start / entry):
            if each.exists():
                return each
    return None


def _yaml(file: Path) -> Any:
    """None of what is no YAML, can not be read, names nothing, or is too large to be one of names."""
    try:
        if file.stat().st_size > _LARGEST_YAML:
            return None
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if _NAMES.search(text) is None:
        return None  # most YAML files are of others, and their reader may not be installed
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"Reading {file.name}", "train") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _from_folders(base: Path) -> Layout | None:
    """images/ beside labels/, split by split or not, or text files beside the pictures."""
    splits: list[tuple[Path, int]] = []
    passed: list[str] = []
    names_in = [base]
    for folder in (base, *folders_in(base)):
        split = -1 if folder == base else split_in_name(folder.name)
        images, labels = folder / "images", folder / "labels"
        if split is None or not images.is_dir() or not labels.is_dir():
            continue
        names_in += [folder, labels]
        parts = [(each, split_in_name(each.name)) for each in folders_in(images)]
        if split < 0 and parts and all(part is not None for _, part in parts):
            own = [(each, part) for each, part in parts if part is not None and _has_rows(labels / each.name)]
            splits += own
            passed += [f"images/{each.name}" for each, _ in parts if each not in dict(own)]
        elif _has_rows(labels):
            splits.append((images, split))
    if not splits and _has_rows(base) and _pictures_beside(base):
        splits = [(base, -1)]
    if not splits and _has_rows(base / "labels"):  # its pictures are elsewhere
        splits = [(base / "labels", -1)]
    if not splits:
        return None
    lists = [folder / name for folder in names_in for name in _NAME_LISTS if (folder / name).is_file()]
    names = None
    if lists:
        lines = lists[0].read_text(encoding="utf-8-sig", errors="replace").splitlines()
        names = {place: line.strip() for place, line in enumerate(lines) if line.strip()}
    return Layout(base, tuple(splits), names, strict=False, passed=tuple(passed))


def _has_rows(folder: Path) -> bool:
    """Whether one of its first text files begins with a row of numbers."""
    return any(map(_begins_with_row, files_in(folder, (".txt",), _LOOKED_AT)))


def _begins_with_row(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return _ROW.match(opened.readline(_LONGEST_ROW)) is not None
    except OSError:
        return False


def _pictures_beside(folder: Path) -> bool:
    return any(
        file.with_suffix(suffix).is_file()
        for file in files_in(folder, (".txt",), _LOOKED_AT)
        for suffix in (".jpg", ".png", ".jpeg")
    )


def _pictures(place: Path, counter: LeftOutCounter) -> Iterator[Path]:
    """The pictures of a folder, or those that a text file lists."""
    if place.is_dir():
        yield from (place / name for name in images_below(place, "", counter, passed=set()))
        return
    for line in place.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if name := line.strip():
            starts = (place.parent, place.parent.parent)
            yield next((each for start in starts if (each := start / name).is_file()), place.parent / name)


def _text_files(layout: Layout) -> Iterator[Path]:
    """Text files that begin with a row of numbers, where those of the pictures may lie."""
    folders = [folder for place, _ in layout.splits if (folder := place if place.is_dir() else place.parent)]
    beside = [Path(*("labels" if part == "images" else part for part in folder.parts)) for folder in folders]
    for folder in dict.fromkeys((*beside, *folders)):
        for file in files_in(folder, (".txt",)):
            if file.name not in _NAME_LISTS and _begins_with_row(file):
                yield file


YOLO_MASKS = Source(
    expects="images/ beside labels/ with a text file of polygons an image (YOLO-seg)",
    evidence=lambda path: ASKED if evidence(path) is not None else None,
    kinds=(SEGMENTATION,),
    read=lambda path, options: read(path, options, Outlines()),
    names_files=True,
)

YOLO = Source(
    expects="a data.yaml with names, or images/ beside labels/ with a text file an image (YOLO)",
    evidence=evidence,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
