"""CVAT XML 1.1, for images and for videos whose frames are pictures (docs.cvat.ai, "CVAT for image" and "for video")."""

import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from pocketvision.data.boxes.places import Place, index_files, pictures_of
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import ellipse, hull, number, rectangle, turned
from pocketvision.data.boxes.tracks import STRETCHES, Shape, by_frame, frames_of, stretch_of
from pocketvision.data.masks.outlines import Outline, Outlines, Patch
from pocketvision.data.masks.runs import filled
from pocketvision.data.origin import SourceOptions
from pocketvision.data.safe_xml import xml_elements
from pocketvision.data.samples import SPLIT_NAMES, Samples
from pocketvision.data.sources.source import ASKED, OWN_FILE, Source
from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_HEAD = 4096
_ROOT = re.compile(rb"<annotations(\s[^>]*)?>")
_SIDES = ("xtl", "ytl", "xbr", "ybr")


def is_cvat(file: Path) -> bool:
    """Whether an XML's root is that of CVAT's."""
    with file.open("rb") as opened:
        return _ROOT.search(opened.read(_HEAD).replace(b"\0", b"")) is not None


def places_of(path: Path) -> list[Place]:
    """Such files."""
    return index_files(path, (".xml",), is_cvat)


def read(path: Path, options: SourceOptions, outlines: Outlines | None = None) -> Samples:
    """Boxes as they are; of turned boxes, polygons, ellipses and masks the box around them. An image's `subset` is its split.
    Tracks are read frame by frame. Raises UsageError as frames_of and Drawn.samples do."""
    places = places_of(path)
    if not places:
        raise UsageError(f"{path}: there is no CVAT XML (annotations of images) in it.")
    pictures, starts = pictures_of(path, places, options.images)
    drawn = Drawn(path, pictures, outlines)
    names: list[str] = []
    reading: list[str] = []
    for place in places:
        folders, tracks = starts(place), list[Element]()
        frames = 0
        for element in xml_elements(place.path, "image", "track", "label", "size"):
            if element.tag == "label":
                names.append(element.findtext("name") or "")
            elif element.tag == "size":  # of the task, in frames
                frames = int((element.text or "").strip()) if (element.text or "").strip().isdecimal() else 0
            elif element.tag == "track":
                tracks.append(element)
            elif element.tag == "image":
                _add(drawn, element, folders, place.split)
        if tracks:
            reading.append(_follow(drawn, tracks, frames, place))
    named = [name for name in names if name] or None
    return drawn.samples(Ending(options.labels, named, backgrounds=not reading, reading=tuple(reading)))


def _follow(drawn: Drawn, tracks: list[Element], frames: int, place: Place) -> str:
    """Draw each track on the pictures of its frames; gives a sentence about that."""
    followed = [(track.get("label", ""), [*_shapes(drawn, track)]) for track in tracks]
    last = max((shape.frame for _, shapes in followed for shape in shapes), default=0)
    frames = max(frames, last + 1)
    there = frames_of(drawn.pictures, place.path, frames)
    rows = {
        frame: drawn.image(path, path, split=place.split, group=f"{place.path}:{stretch_of(frame, frames)}")
        for frame, path in there.items()
    }
    gone: dict[int, None] = {}
    for name, shapes in followed:
        for shape in by_frame(shapes):
            row = rows.get(shape.frame)
            if row is not None:
                drawn.box(row, name, shape.corners, outline=partial(getattr, shape, "outline"))
            elif shape.frame not in there:
                gone[shape.frame] = None
    for frame in gone:
        drawn.image(None, f"frame {frame}")
    return (
        f"{counted(len(tracks), 'track')} on {counted(len(there), 'picture')} of a video's {counted(frames, 'frame')}: a split "
        f"keeps each of {STRETCHES} stretches of it whole, because neighbouring frames are alike."
    )


def _shapes(drawn: Drawn, track: Element) -> Iterator[Shape]:
    for element in track:
        corners, frame = _corners(element), element.get("frame", "")
        if corners is None or not frame.isdecimal():
            drawn.problems.add("other_shapes", element.tag)
        else:
            outline = None if drawn.outlines is None else outline_of(element)
            yield Shape(int(frame), corners, element.get("outside") == "1", outline)


def _add(drawn: Drawn, image: Element, folders: list[Path], split: int) -> None:
    name = image.get("name", "")
    split = SPLIT_NAMES.get(image.get("subset", "").lower(), split)
    path = drawn.pictures.find(name, folders, split)
    row = drawn.image(path, name, size=(number(image.get("width")), number(image.get("height"))), split=split)
    for shape in image if row is not None else ():
        corners = _corners(shape)
        if corners is None:
            if shape.tag != "tag":  # of the image as a whole
                drawn.problems.add("other_shapes", shape.tag, drawn.paths[row or 0])
        else:
            drawn.box(row or 0, shape.get("label", ""), corners, outline=partial(outline_of, shape))


def _corners(shape: Element) -> tuple[float, ...] | None:
    """None for a shape that is no area."""
    values = {name: number(value) for name, value in shape.attrib.items() if name not in ("label", "points", "source")}
    if shape.tag == "box":
        left, top, right, bottom = (values.get(side, math.nan) for side in _SIDES)
        return turned(left, top, right, bottom, values.get("rotation", 0.0))
    if shape.tag == "polygon":
        pairs = [point.partition(",") for point in shape.get("points", "").split(";")]
        return hull([number(x) for x, _, _ in pairs], [number(y) for _, _, y in pairs])
    if shape.tag == "ellipse":
        x, y, rx, ry = (values.get(name, math.nan) for name in ("cx", "cy", "rx", "ry"))
        angle = math.radians(values.get("rotation", 0.0))
        wide = math.hypot(rx * math.cos(angle), ry * math.sin(angle))
        high = math.hypot(rx * math.sin(angle), ry * math.cos(angle))
        return x - wide, y - high, x + wide, y + high
    if shape.tag == "mask":
        left, top, width, height = (values.get(name, math.nan) for name in ("left", "top", "width", "height"))
        return left, top, left + width, top + height
    return None


def outline_of(shape: Element) -> Outline | None:
    """Of what is an area; an ellipse as 64 corners."""
    values = {
        name: number(value) for name, value in shape.attrib.items() if name not in ("label", "points", "source", "rle")
    }
    degrees = values.get("rotation", 0.0)
    if shape.tag == "box":
        left, top, right, bottom = (values.get(side, math.nan) for side in _SIDES)
        return Outline([rectangle(left, top, right, bottom, degrees)])
    if shape.tag == "polygon":
        pairs = [point.partition(",") for point in shape.get("points", "").split(";")]
        return Outline([[number(side) for x, _, y in pairs for side in (x, y)]])
    if shape.tag == "ellipse":
        x, y, wide, high = (values.get(name, math.nan) for name in ("cx", "cy", "rx", "ry"))
        return Outline([ellipse(x, y, wide, high, degrees)])
    place = [values.get(name, math.nan) for name in ("left", "top", "width", "height")]
    if not all(map(math.isfinite, place)):
        return None
    left, top, width, height = (round(side) for side in place)
    counts = [int(each) for each in shape.get("rle", "").replace(",", " ").split() if each.isdigit()]
    marks = filled(counts, (width, height))
    return None if marks is None else Outline(patch=Patch(left, top, marks))


CVAT_MASKS = Source(
    expects="a CVAT XML with polygons or masks, or a folder with one",
    evidence=lambda path: ASKED if places_of(path) else None,
    kinds=(SEGMENTATION,),
    read=lambda path, options: read(path, options, Outlines()),
    names_files=True,
)

CVAT = Source(
    expects="a CVAT XML (annotations.xml), or a folder with one",
    evidence=lambda path: OWN_FILE if places_of(path) else None,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
