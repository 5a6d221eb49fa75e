"""Pascal VOC XML: Annotations/ with a file a picture, JPEGImages/, and lists of the splits in ImageSets/Main."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from pocketvision.data.box_writers.writer import Box, Picture, Writer, boxes_of, by_split
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.detection.truth import BoxLabels

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write(folder: Path, truth: BoxLabels, pictures: Sequence[Picture]) -> None:
    """Coordinates are edges, counted from 0, with decimals: what the tools of today read and write. Raises UsageError for names
    that XML can not hold."""
    for name in (*truth.class_names, *(picture.name for picture in pictures)):
        require_name(name)
    (folder / "Annotations").mkdir()
    for picture in pictures:
        root = ElementTree.Element("annotation")
        _add(root, "folder", "JPEGImages")
        _add(root, "filename", picture.name)
        size = ElementTree.SubElement(root, "size")
        for name, value in zip(("width", "height", "depth"), (*picture.size, 3), strict=True):
            _add(size, name, str(value))
        for box in boxes_of(truth, picture.index):
            _add_box(root, box)
        ElementTree.indent(root)
        ElementTree.ElementTree(root).write(folder / "Annotations" / f"{picture.stem}.xml", encoding="utf-8")
    splits = by_split(pictures)
    if "" in splits:
        return
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, members in splits.items():
        (lists / f"{split}.txt").write_text(
            "".join(f"{each.stem}\n" for each in members), encoding="utf-8", errors="surrogateescape"
        )


def require_name(name: str) -> None:
    """Raises UsageError for one that XML can not hold."""
    if _NOT_XML.search(name):
        raise UsageError(
            f"The name {quoted(name)} has characters that XML can not hold. Rename it, or write another format."
        )


def _add_box(root: ElementTree.Element, box: Box) -> None:
    element = ElementTree.SubElement(root, "object")
    _add(element, "name", box.label)
    _add(element, "difficult", str(int(box.difficult)))
    corners = ElementTree.SubElement(element, "bndbox")
    for name, side in zip(("xmin", "ymin", "xmax", "ymax"), box.corners, strict=True):
        _add(corners, name, f"{side:.6f}".rstrip("0").rstrip("."))


def _add(element: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(element, name).text = text


VOC = Writer(
    says="Annotations/*.xml, JPEGImages/, ImageSets/Main/SPLIT.txt",
    folder=lambda _: "JPEGImages",
    crowds=False,
    difficult=True,
    scores=False,
    write=write,
    require_name=require_name,
)
