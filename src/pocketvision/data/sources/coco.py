"""COCO JSON, the form of instances: images, categories and annotations, by numbers (cocodataset.org, "Data format")."""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pocketvision.data.boxes.places import Place, index_files, pictures_of
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import hull, number
from pocketvision.data.large_json import json_elements
from pocketvision.data.masks.outlines import Outline, Outlines, Patch
from pocketvision.data.masks.runs import coco_runs
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import ASKED, OWN_FILE, Source
from pocketvision.errors import UsageError
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_HEAD = 1 << 16
_KEYS = re.compile(r'"(images|annotations|categories)"\s*:\s*\[')
_FIRST = re.compile(r'\ufeff?\s*\{\s*"(info|licenses?|images|annotations|categories|type|videos|dataset)"')
_OTHERS = ("captions", "person_keypoints", "stuff", "panoptic", "image_info", "densepose")
"""COCO's own files of other tasks over the same images."""


def is_coco(file: Path) -> bool:
    """Whether a JSON begins as COCO's do."""
    with file.open("rb") as opened:
        head = opened.read(_HEAD).decode("utf-8", "replace")
    return bool(_FIRST.match(head) and _KEYS.search(head))


def read(path: Path, options: SourceOptions, outlines: Outlines | None = None) -> Samples:
    """Element by element: the memory is that of the boxes, whatever is written beside them. The box of an annotation without
    one is that of its polygons. Raises UsageError for what is no such JSON, for one of the panoptic form, and as Drawn.samples
    does."""
    places = index_files(path, (".json",), is_coco)
    instances = [each for each in places if each.path.name.lower().startswith("instances")]
    chosen = instances or [each for each in places if not each.path.name.lower().startswith(_OTHERS)] or places
    if not chosen:
        raise UsageError(f"{path}: there is no COCO JSON with images and annotations in it.")
    pictures, starts = pictures_of(path, chosen, options.images)
    drawn = Drawn(path, pictures, outlines)
    names: dict[str, None] = {}
    for place in chosen:
        names |= dict.fromkeys(_File(place, drawn).read([*starts(place)]))
    passed = [each.path.name for each in places if each not in chosen]
    reading = (f"Not read: {', '.join(passed[:4])}, of other tasks or models.",) if passed else ()
    return drawn.samples(Ending(options.labels, tuple(names), reading=reading))


class _File:
    """One file: annotations may stand before the images and categories that they speak of by number, so they wait."""

    def __init__(self, place: Place, drawn: Drawn) -> None:
        self._place, self._drawn, self._problems = place, drawn, drawn.problems
        self._rows: dict[Any, int | None] = {}
        self._categories: dict[Any, str] = {}
        self._waiting: list[tuple[Any, Any, tuple[float, ...], tuple[bool, bool], float, Any]] = []

    def read(self, near: list[Path]) -> list[str]:
        """The names of the categories, by number."""
        for key, element in json_elements(self._place.path):
            if not isinstance(element, Mapping):
                continue
            if key == "images":
                self._image(element, near)
            elif key == "categories":
                self._category(element)
            elif key == "annotations":
                self._annotation(element)
        for each in self._waiting:
            self._box(*each)
        numbers = sorted(each for each in self._categories if isinstance(each, int))
        if gaps := [each for each, following in pairwise(numbers) if following > each + 1]:
            self._problems.add("category_gaps", f"after {gaps[0]}", self._place.path.name, len(gaps))
        return [self._categories[each] for each in sorted(self._categories, key=_by_number)]

    def _image(self, image: Mapping[str, Any], near: list[Path]) -> None:
        name, split = str(image.get("file_name", "")), self._place.split
        size = number(image.get("width")), number(image.get("height"))
        path = self._drawn.pictures.find(name, near, split)
        self._rows[image.get("id")] = self._drawn.image(path, name, size=size, split=split)

    def _category(self, category: Mapping[str, Any]) -> None:
        place, name = category.get("id"), str(category.get("name", category.get("id")))
        if place in self._categories or name in self._categories.values():
            self._problems.add("repeated_category", f"{place}: {name}", self._place.path.name)
        self._categories.setdefault(place, name)

    def _annotation(self, each: Mapping[str, Any]) -> None:
        if "segments_info" in each:
            raise _panoptic(self._place.path)
        corners = _corners(each)
        if each.get("score") is not None:
            self._problems.add("confident_boxes", f"score {each['score']}", self._place.path.name)
        flags = (bool(each.get("iscrowd")), bool(each.get("ignore")) and not each.get("iscrowd"))
        drawn = None if self._drawn.outlines is None else each.get("segmentation")
        waiting = (each.get("image_id"), each.get("category_id"), corners, flags, number(each.get("area")), drawn)
        if self._rows and self._categories:
            self._box(*waiting)
        else:
            self._waiting.append(waiting)

    def _box(
        self,
        image: Any,
        category: Any,
        corners: tuple[float, ...],
        flags: tuple[bool, bool],
        area: float,
        segmentation: Any,
    ) -> None:
        if image not in self._rows:
            self._problems.add("box_of_no_image", f"image_id {image}", self._place.path.name)
            return
        row = self._rows[image]
        if row is None:
            return
        if category not in self._categories:
            self._problems.add("unknown_category", f"category_id {category}", self._drawn.paths[row])
            return
        # The area of the box itself says nothing more.
        own = area if len(corners) == 4 and abs(area - _area(corners)) > 0.01 * max(area, 1) else math.nan
        name, (crowd, difficult) = self._categories[category], flags
        outline = lambda: outline_of(segmentation)  # noqa: E731
        self._drawn.box(row, name, corners, crowd=crowd, difficult=difficult, area=own, outline=outline)


def _panoptic(file: Path) -> UsageError:
    return UsageError(
        f"{file}: a COCO JSON of the panoptic form (segments_info), whose segments are colours in PNGs beside it. It is not "
        "read. Write masks of classes (panopticapi's converters/panoptic2semantic_segmentation.py) and give their folder beside "
        "the pictures, with classes.txt; or instances (converters/panoptic2detection_coco_format.py) and give that JSON."
    )


def outline_of(segmentation: Any) -> Outline | None:
    """Polygons, or runs of pixels of the whole picture."""
    if isinstance(segmentation, Mapping):
        marks = coco_runs(segmentation)
        return None if marks is None else Outline(patch=Patch(0, 0, marks))
    if isinstance(segmentation, list) and segmentation and all(isinstance(each, list) for each in segmentation):
        return Outline([[number(each) for each in polygon] for polygon in segmentation])
    return None


def _corners(annotation: Mapping[str, Any]) -> tuple[float, ...]:
    """Left, top, right and bottom; not four numbers where there are none."""
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4:
        left, top, width, height = map(number, box)
        return left, top, left + width, top + height
    polygons = annotation.get("segmentation")
    if isinstance(polygons, list) and polygons and all(isinstance(each, list) for each in polygons):
        numbers = [number(each) for polygon in polygons for each in polygon]
        return hull(numbers[0::2], numbers[1::2])
    return ()


def _area(corners: tuple[float, ...]) -> float:
    return (corners[2] - corners[0]) * (corners[3] - corners[1])


def _by_number(place: Any) -> tuple[bool, Any]:
    return (False, place) if isinstance(place, int | float) else (True, str(place))


COCO_MASKS = Source(
    expects="a COCO JSON with polygons or runs of pixels, or a folder with one",
    evidence=lambda path: ASKED if index_files(path, (".json",), is_coco) else None,
    kinds=(SEGMENTATION,),
    read=lambda path, options: read(path, options, Outlines()),
    names_files=True,
)

COCO = Source(
    expects="a COCO JSON (images, annotations, categories), or a folder with one",
    evidence=lambda path: OWN_FILE if index_files(path, (".json",), is_coco) else None,
    kinds=(DETECTION,),
    read=read,
    names_files=True,
)
