"""LabelMe JSON: a file an image, beside it (github.com/wkentaro/labelme)."""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pocketvision.data.boxes.places import Place, files_in, folders_of_files, pictures_of
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import ellipse, hull, number, rectangle
from pocketvision.data.large_json import json_elements
from pocketvision.data.masks.outlines import Outline, Outlines, Patch
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import ASKED, LAYOUT, Source
from pocketvision.errors import ImageError, UsageError
from pocketvision.preprocessing.values import read_values
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_HEAD = 1 << 14
_SHAPES = re.compile(r'"shapes"\s*:\s*\[')
_AREAS = ("rectangle", "polygon", "mask", "rotation")


def is_labelme(file: Path) -> bool:
    """Whether a JSON has LabelMe's members."""
    with file.open("rb") as opened:
        head = opened.read(_HEAD).decode("utf-8", "replace")
    return bool(_SHAPES.search(head) and ('"imagePath"' in head or '"flags"' in head or '"version"' in head))


def places_of(path: Path) -> list[Place]:
    """Folders of such files."""
    return folders_of_files(path, ".json", is_labelme)


def read(path: Path, options: SourceOptions, outlines: Outlines | None = None) -> Samples:
    """Rectangles as they are; of polygons, masks and circles the box around them. Raises UsageError as Drawn.samples does."""
    places = places_of(path)
    if not places:
        raise UsageError(f"{path}: there is no folder with LabelMe files (*.json with shapes) in it.")
    pictures, starts = pictures_of(path, places, options.images)
    drawn = Drawn(path, pictures, outlines)
    for place in places:
        folders = starts(place)
        for file in files_in(place.path, (".json",)):
            if is_labelme(file):
                _add(drawn, file, folders, place.split)
    return drawn.samples(Ending(options.labels))


def _add(drawn: Drawn, file: Path, folders: list[Path], split: int) -> None:
    shapes: list[Any] = []
    members: dict[str, Any] = {}
    for key, value in json_elements(file):
        if key == "shapes":
            shapes.append(value)
        elif key in ("imagePath", "imageWidth", "imageHeight"):
            members[key] = value
    name = str(members.get("imagePath") or file.stem)
    path = drawn.pictures.find(name, folders, split) or drawn.pictures.of_stem(file.stem, folders, split)
    size = number(members.get("imageWidth")), number(members.get("imageHeight"))
    row = drawn.image(path, name, size=size, split=split)
    for shape in shapes if row is not None else ():
        if not isinstance(shape, Mapping):
            continue
        corners = _corners(shape)
        if corners is None:
            drawn.problems.add("other_shapes", str(shape.get("shape_type")), drawn.paths[row or 0])
            continue
        flags = shape.get("flags") or {}
        crowd, difficult = (bool(flags.get(flag)) for flag in ("crowd", "difficult"))
        if shape.get("score") is not None:
            drawn.problems.add("confident_boxes", f"score {shape['score']}", drawn.paths[row or 0])
        label = str(shape.get("label") or "")
        drawn.box(row or 0, label, corners, crowd=crowd, difficult=difficult, outline=partial(outline_of, shape))


def outline_of(shape: Mapping[str, Any]) -> Outline | None:
    """Of what is an area; a circle as 64 corners."""
    kind = shape.get("shape_type") or "polygon"
    points = [each for each in shape.get("points") or () if isinstance(each, list) and len(each) == 2]
    across, down = [number(x) for x, _ in points], [number(y) for _, y in points]
    if kind == "mask" and len(points) == 2 and isinstance(shape.get("mask"), str):
        try:
            stored = read_values(base64.b64decode(shape["mask"]), "mask")
        except (binascii.Error, ImageError, ValueError):
            return None
        marks = stored.values if stored.values.ndim == 2 else stored.values[..., 0]
        return Outline(patch=Patch(round(min(across)), round(min(down)), marks > 0))
    if kind == "circle" and len(points) == 2:
        return Outline([ellipse(across[0], down[0], *[math.hypot(across[1] - across[0], down[1] - down[0])] * 2)])
    if kind == "rectangle" and len(points) == 2:
        return Outline([rectangle(across[0], down[0], across[1], down[1])])
    return Outline([[side for point in zip(across, down, strict=True) for side in point]])


def _corners(shape: Mapping[str, Any]) -> tuple[float, ...] | None:
    """None for a shape that is no area."""
    kind = shape.get("shape_type") or "polygon"
    points = [each for each in shape.get("points") or () if isinstance(each, list) and len(each) == 2]
    across, down = [number(x) for x, _ in points], [number(y) for _, y in points]
    if kind == "circle" and len(points) == 2:
        radius = math.hypot(across[1] - across[0], down[1] - down[0])
        return across[0] - radius, down[0] - radius, across[0] + radius, down[0] + radius
    return hull(across, down) if kind in _AREAS else None


LABELME_MASKS = Source(
    expects="a folder of pictures with a LabelMe JSON of polygons beside each",
    evidence=lambda path: ASKED if places_of(path) else None,
    kinds=(SEGMENTATION,),
    read=lambda path, options: read(path, options, Outlines()),
    names_files=True,
)

LABELME = Source(
    expects="a folder of pictures with a LabelMe JSON beside each",
    evidence=lambda path: LAYOUT if places_of(path) else None,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
