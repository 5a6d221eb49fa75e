"""COCO JSON: images, categories and annotations, by numbers (cocodataset.org, "Data format"). Of instances, and in the panoptic
form, whose segments are colours in PNGs."""

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pocketvision.data.boxes.places import Place, index_files, pictures_of
from pocketvision.data.boxes.reading import Drawn, Ending
from pocketvision.data.boxes.shapes import hull, number
from pocketvision.data.large_json import json_elements
from pocketvision.data.masks.outlines import Outline, Outlines, Patch
from pocketvision.data.masks.runs import coco_runs
from pocketvision.data.masks.segment_pictures import SegmentPictures
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
    one is that of its polygons. Of the panoptic form every segment is in a mask, pixels of none are of no class, and boxes are of
    things alone. Raises UsageError for what is no such JSON, for segments without their PNGs, and as Drawn.samples does."""
    places = index_files(path, (".json",), is_coco)
    instances = [each for each in places if each.path.name.lower().startswith("instances")]
    chosen = instances or [each for each in places if not each.path.name.lower().startswith(_OTHERS)] or places
    if not chosen:
        raise UsageError(f"{path}: there is no COCO JSON with images and annotations in it.")
    pictures, starts = pictures_of(path, chosen, options.images)
    drawn = Drawn(path, pictures, outlines)
    names: dict[str, None] = {}
    segments = False
    for place in chosen:
        file = _File(place, drawn)
        names |= dict.fromkeys(file.read([*starts(place)]))
        segments = segments or file.segments
    passed = [each.path.name for each in places if each not in chosen]
    reading = (f"Not read: {', '.join(passed[:4])}, of other tasks or models.",) if passed else ()
    ending = Ending(options.labels, tuple(names), reading=reading, backgrounds=not segments, rest=not segments)
    return drawn.samples(ending)


class _Waiting(NamedTuple):
    """An object that is drawn once its image and category are known. flags: crowd, difficult. segment: whether it is one of the
    panoptic form."""

    image: Any
    category: Any
    corners: tuple[float, ...]
    flags: tuple[bool, bool]
    area: float
    outline: Callable[[], Outline | None]
    segment: bool = False


class _File:
    """One file: annotations may stand before the images and categories that they speak of by number, so they wait."""

    def __init__(self, place: Place, drawn: Drawn) -> None:
        self._place, self._drawn, self._problems = place, drawn, drawn.problems
        self._rows: dict[Any, int | None] = {}
        self._categories: dict[Any, str] = {}
        self._waiting: list[_Waiting] = []
        self._pictures = SegmentPictures(place.path)
        self._stuff: set[Any] = set()
        self.segments = False
        """Whether the file is of the panoptic form."""

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
            self._box(each)
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
        if category.get("isthing") == 0:
            self._stuff.add(place)

    def _annotation(self, each: Mapping[str, Any]) -> None:
        if isinstance(each.get("segments_info"), list):
            self._segments(each)
            return
        corners = _corners(each)
        if each.get("score") is not None:
            self._problems.add("confident_boxes", f"score {each['score']}", self._place.path.name)
        flags = (bool(each.get("iscrowd")), bool(each.get("ignore")) and not each.get("iscrowd"))
        drawn = None if self._drawn.outlines is None else each.get("segmentation")
        area = number(each.get("area"))
        self._add(
            _Waiting(each.get("image_id"), each.get("category_id"), corners, flags, area, lambda: outline_of(drawn))
        )

    def _segments(self, each: Mapping[str, Any]) -> None:
        """Of a picture in the panoptic form."""
        name, self.segments = str(each.get("file_name", "")), True
        png = None if self._drawn.outlines is None else self._pictures.find(name)
        if self._drawn.outlines is not None and png is None:
            raise UsageError(
                f"{self._place.path}: its segments are colours in PNGs, and {name} is neither in {self._place.path.stem}/ beside "
                "it nor beside it itself. Put the folder of PNGs there (COCO's annotations have it as a zip of that name)."
            )
        for segment in each["segments_info"]:
            if isinstance(segment, Mapping):
                outline = partial(self._segment, png, segment.get("id"))
                flags = (bool(segment.get("iscrowd")), False)
                corners, area = _corners(segment), number(segment.get("area"))
                self._add(
                    _Waiting(each.get("image_id"), segment.get("category_id"), corners, flags, area, outline, True)
                )

    def _segment(self, png: Path | None, number: Any) -> Outline | None:
        patch = None if png is None or not isinstance(number, int) else self._pictures.patch(png, number)
        return None if patch is None else Outline(patch=patch)

    def _add(self, waiting: _Waiting) -> None:
        if self._rows and self._categories:
            self._box(waiting)
        else:
            self._waiting.append(waiting)

    def _box(self, drawn: _Waiting) -> None:
        image, category, corners = drawn.image, drawn.category, drawn.corners
        if image not in self._rows:
            self._problems.add("box_of_no_image", f"image_id {image}", self._place.path.name)
            return
        row = self._rows[image]
        if row is None:
            return
        if category not in self._categories:
            self._problems.add("unknown_category", f"category_id {category}", self._drawn.paths[row])
            return
        if drawn.segment and category in self._stuff and self._drawn.outlines is None:
            return  # sky and grass have no box
        # The area of the box itself says nothing more.
        own = drawn.area if len(corners) == 4 and _says_more(drawn.area, corners) else math.nan
        name, (crowd, difficult) = self._categories[category], drawn.flags
        self._drawn.box(row, name, corners, crowd=crowd, difficult=difficult, area=own, outline=drawn.outline)


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


def _says_more(area: float, corners: tuple[float, ...]) -> bool:
    box = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return abs(area - box) > 0.01 * max(area, 1)


def _by_number(place: Any) -> tuple[bool, Any]:
    return (False, place) if isinstance(place, int | float) else (True, str(place))


COCO_MASKS = Source(
    expects="a COCO JSON with polygons, runs of pixels or segments in PNGs, or a folder with one",
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
