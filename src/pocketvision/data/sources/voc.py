"""Pascal VOC XML: a file an image, and lists of images for each split in ImageSets (Everingham et al. 2010)."""

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element

from pocketvision.data.boxes.places import Place, files_in, folders_of_files, pictures_of
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import number
from pocketvision.data.origin import SourceOptions
from pocketvision.data.safe_xml import xml_root
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import LAYOUT, Source
from pocketvision.errors import UsageError
from pocketvision.tasks.detection.truth import DETECTION

_HEAD = 2048
_ROOT = re.compile(rb"<annotation(\s[^>]*)?>")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_SETS = {"train": 0, "val": 1, "valid": 1, "test": 2, "trainval": 0}
"""Lists by name, the most specific first: of trainval only what no other list names."""
_FROM_ONE = re.compile(r"VOC\s?20\d\d", re.IGNORECASE)


def is_voc(file: Path) -> bool:
    """Whether an XML's root is an annotation."""
    with file.open("rb") as opened:
        return _ROOT.search(opened.read(_HEAD).replace(b"\0", b"")) is not None


def places_of(path: Path) -> list[Place]:
    """Folders of such files."""
    return folders_of_files(path, ".xml", is_voc)


def read(path: Path, options: SourceOptions) -> Samples:
    """Coordinates are taken as they are written; those of the VOC challenge itself, which count pixels from 1, become edges. A
    picture is known by the name of its XML, else by the one written in it. Raises UsageError as Drawn.samples does."""
    places = places_of(path)
    if not places:
        raise UsageError(f"{path}: there is no folder with Pascal VOC files (*.xml) in it.")
    pictures, starts = pictures_of(path, places, options.images)
    drawn = Drawn(path, pictures)
    listed, reading = _image_sets(places[0].base)
    for place in places:
        folders = starts(place)
        for file in files_in(place.path, (".xml",)):
            split = place.split if not listed else listed.get(file.stem, -1)
            if listed and split < 0:
                pictures.counter.add("no_split", file.name)
                continue
            _add(drawn, file, xml_root(file), folders, split)
    if listed:
        _add_unannotated(drawn, listed, places)
    return drawn.samples(Ending(options.labels, backgrounds=not listed, reading=reading))


def _add(drawn: Drawn, file: Path, root: Element, folders: list[Path], split: int) -> None:
    name = root.findtext("filename") or file.stem
    pictures = drawn.pictures
    path = pictures.of_stem(file.stem, folders, split) or pictures.find(name, folders, split)
    size = number(root.findtext("size/width")), number(root.findtext("size/height"))
    row = drawn.image(path, name, size=size, split=split)
    if row is None:
        return
    first = 1.0 if _FROM_ONE.search(root.findtext("source/database") or "") else 0.0
    for each in root.iter("object"):
        box = each.find("bndbox")
        if box is None:
            drawn.problems.add("other_shapes", each.findtext("name") or "", drawn.paths[row])
            continue
        left, top, right, bottom = (number(box.findtext(side)) for side in _SIDES)
        difficult = (each.findtext("difficult") or "0").strip() == "1"
        drawn.box(row, each.findtext("name") or "", (left - first, top - first, right, bottom), difficult=difficult)


def _image_sets(base: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """The split of each image's name, and a sentence about the lists; nothing where there are none."""
    splits: dict[str, int] = {}
    several = 0
    lists = [base / "ImageSets" / "Main" / f"{name}.txt" for name in _SETS]
    there = [file for file in lists if file.is_file()]
    for file in there:
        for name in _names(file.read_text(encoding="utf-8", errors="replace").splitlines()):
            split = splits.setdefault(name, _SETS[file.stem])
            several += split != _SETS[file.stem] and file.stem != "trainval"
    if not splits:
        return {}, ()
    said = f"Splits from ImageSets/Main: {', '.join(file.name for file in there)}."
    more = (f"{several} names are in several lists; the first of train, val and test counts.",) if several else ()
    return splits, (said, *more)


def _names(lines: Iterable[str]) -> Iterable[str]:
    """The first word of each line: lists of one class have a mark behind it."""
    return (line.split()[0] for line in lines if line.strip())


def _add_unannotated(drawn: Drawn, listed: dict[str, int], places: list[Place]) -> None:
    """Images of the lists that have no XML are backgrounds."""
    annotated = {file.stem for place in places for file in files_in(place.path, (".xml",))}
    for name, split in listed.items():
        if name not in annotated:
            path = drawn.pictures.of_stem(name, [], split)
            drawn.image(path, name, split=split)
            if path is not None:
                drawn.problems.add("unlisted_images", name, path)


VOC = Source(
    expects="a folder with Pascal VOC files (Annotations/*.xml beside JPEGImages/, or beside the pictures)",
    evidence=lambda path: LAYOUT if places_of(path) else None,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
