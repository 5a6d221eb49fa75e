"""Label Studio JSON: a list of tasks with annotations, or its short form JSON-MIN (labelstud.io/guide/export)."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from pocketvision.data.boxes.places import Place, index_files, pictures_of
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import ellipse, hull, number, rectangle, turned
from pocketvision.data.boxes.upright import SHARES
from pocketvision.data.large_json import json_elements
from pocketvision.data.masks.outlines import Outline, Outlines, Patch
from pocketvision.data.masks.runs import brush
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import ASKED, OWN_FILE, Source
from pocketvision.errors import UsageError
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_HEAD = 1 << 16
_TASKS = re.compile(r"\ufeff?\s*\[\s*\{")
_MARK = re.compile(r'"(original_width|rectanglelabels|annotations|completions)"\s*:')
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""What Label Studio puts before the name of an uploaded file."""
_AREAS = {"rectanglelabels": "box", "polygonlabels": "points", "ellipselabels": "ellipse"}
_BRUSH = "brushlabels"
_OTHERS = ("keypointlabels", _BRUSH, "vectorlabels")


def is_label_studio(file: Path) -> bool:
    """Whether a JSON is a list of tasks."""
    with file.open("rb") as opened:
        head = opened.read(_HEAD).decode("utf-8", "replace")
    return bool(_TASKS.match(head) and _MARK.search(head) and '"category_id"' not in head)


def places_of(path: Path) -> list[Place]:
    """Such files."""
    return index_files(path, (".json",), is_label_studio)


def read(path: Path, options: SourceOptions, outlines: Outlines | None = None) -> Samples:
    """The first annotation of a task that was not cancelled. Of turned boxes, ellipses and polygons the box around them. Raises
    UsageError as Drawn.samples does."""
    places = places_of(path)
    if not places:
        raise UsageError(f"{path}: there is no Label Studio JSON (a list of tasks) in it.")
    pictures, starts = pictures_of(path, places, options.images)
    drawn = Drawn(path, pictures, outlines)
    for place in places:
        folders = starts(place)
        for _, task in json_elements(place.path):
            if isinstance(task, Mapping):
                _add(drawn, task, folders, place.split)
    return drawn.samples(Ending(options.labels, unit=SHARES))


def _add(drawn: Drawn, task: Mapping[str, Any], folders: list[Path], split: int) -> None:
    inner = task.get("data")
    data = inner if isinstance(inner, Mapping) else task
    address = next((str(data[key]) for key in _keys(data)), "")
    name, path = "", None
    for name in _names(address):
        path = drawn.pictures.find(name, folders, split)
        if path is not None:
            break
    results = [*_results(drawn, task, path or name)]
    sizes = [(number(each.get("original_width")), number(each.get("original_height"))) for each in results]
    row = drawn.image(path, name, size=sizes[0] if sizes else None, split=split)
    for result in results if row is not None else ():
        value = result.get("value", result)
        kind = next((key for key in (*_AREAS, *_OTHERS) if key in value), None)
        if kind is None:
            continue  # of the image as a whole, or a relation
        if kind == _BRUSH and drawn.outlines is not None:
            _add_brush(drawn, row or 0, value, result)
            continue
        if kind in _OTHERS:
            drawn.problems.add("other_shapes", kind, drawn.paths[row or 0])
            continue
        corners = [side / 100 for side in _corners(value, _AREAS[kind], result)]
        for label in value[kind] or [""]:
            drawn.box(row or 0, str(label), corners, outline=partial(outline_of, value, _AREAS[kind], result))


def _add_brush(drawn: Drawn, row: int, value: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    width, height = (number(result.get(f"original_{side}")) for side in ("width", "height"))
    marks = brush(value.get("rle"), (int(width), int(height))) if width > 0 and height > 0 else None
    if marks is None or not marks.any():
        drawn.problems.add("no_outline", _BRUSH, drawn.paths[row])
        return
    rows, columns = (np.flatnonzero(marks.any(axis=axis)) for axis in (1, 0))
    corners = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    outline = Outline(patch=Patch(0, 0, marks, whole=True))
    for label in value[_BRUSH] or [""]:
        drawn.box(row, str(label), corners, outline=lambda: outline)


def _keys(data: Any) -> Iterator[str]:
    """Members that may name the picture, `image` first."""
    texts = [key for key, value in data.items() if isinstance(value, str) and "." in value]
    yield from sorted(texts, key=lambda key: key not in ("image", "img", "image_url", "url"))


def _names(address: str) -> Iterator[str]:
    """What a picture's address may be called here: a path below the folder of local files, as it is, or as it was uploaded."""
    parts = urlsplit(address)
    if local := parse_qs(parts.query).get("d"):
        yield unquote(local[0])
    yield address if not parts.scheme else unquote(parts.path)
    name = unquote(parts.path).rpartition("/")[2]
    if found := _UPLOADED.fullmatch(name):
        yield found[1]
    yield name


def _results(drawn: Drawn, task: Mapping[str, Any], file: str) -> list[Mapping[str, Any]]:
    """What was drawn, of the first annotation that counts."""
    whole = task.get("annotations", task.get("completions"))
    if isinstance(whole, list):
        counted = [each for each in whole if isinstance(each, Mapping) and not each.get("was_cancelled")]
        if len(counted) > 1:
            drawn.problems.add("other_opinions", file, file)
        found = counted[0].get("result") if counted else None
        return [each for each in found or () if isinstance(each, Mapping) and isinstance(each.get("value"), Mapping)]
    lists = [value for value in task.values() if isinstance(value, list)]
    return [each for every in lists for each in every if isinstance(each, Mapping) and "original_width" in each]


def _corners(value: Mapping[str, Any], kind: str, result: Mapping[str, Any]) -> tuple[float, ...]:
    """In hundredths of the sides; a turn is one of pixels, so the sides count."""
    if kind == "points":
        points = [each for each in value.get("points") or () if isinstance(each, list) and len(each) == 2]
        return hull([number(x) for x, _ in points], [number(y) for _, y in points])
    x, y = number(value.get("x")), number(value.get("y"))
    if kind == "ellipse":
        wide, high = number(value.get("radiusX")), number(value.get("radiusY"))
        return x - wide, y - high, x + wide, y + high
    width, height, degrees = number(value.get("width")), number(value.get("height")), number(value.get("rotation", 0))
    if not degrees:
        return x, y, x + width, y + height
    sides = number(result.get("original_width")), number(result.get("original_height"))
    around = turned(
        x * sides[0], y * sides[1], (x + width) * sides[0], (y + height) * sides[1], degrees, at_corner=True
    )
    return tuple(side / sides[place % 2] for place, side in enumerate(around))


def outline_of(value: Mapping[str, Any], kind: str, result: Mapping[str, Any]) -> Outline | None:
    """In shares of the sides; an ellipse as 64 corners. A turn is one of pixels, so the sides count."""
    if kind == "points":
        points = [each for each in value.get("points") or () if isinstance(each, list) and len(each) == 2]
        return Outline([[number(side) / 100 for point in points for side in point]])
    sides = number(result.get("original_width")), number(result.get("original_height"))
    degrees = number(value.get("rotation", 0))
    x, y = (number(value.get(name)) * side / 100 for name, side in zip("xy", sides, strict=True))
    names = ("radiusX", "radiusY") if kind == "ellipse" else ("width", "height")
    wide, high = (number(value.get(name)) * side / 100 for name, side in zip(names, sides, strict=True))
    ring = (
        ellipse(x, y, wide, high, degrees)
        if kind == "ellipse"
        else rectangle(x, y, x + wide, y + high, degrees, at_corner=True)
    )
    return Outline([[each / sides[place % 2] for place, each in enumerate(ring)]])


LABEL_STUDIO_MASKS = Source(
    expects="a Label Studio JSON with polygons or brushes, or a folder with one",
    evidence=lambda path: ASKED if places_of(path) else None,
    kinds=(SEGMENTATION,),
    read=lambda path, options: read(path, options, Outlines()),
    names_files=True,
)

LABEL_STUDIO = Source(
    expects="a Label Studio JSON (a list of tasks), or a folder with one",
    evidence=lambda path: OWN_FILE if places_of(path) else None,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
