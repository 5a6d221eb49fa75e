"""The numbers by which a COCO file speaks of its images and classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pocketvision.data.large_json import json_elements
from pocketvision.data.table_paths import plain_path
from pocketvision.errors import UsageError


@dataclass(frozen=True)
class CocoIds:
    """images: by the names that their files have there, whole and without folders. classes: by name."""

    images: Mapping[str, int | None]
    classes: Mapping[str, int]

    def image(self, path: str) -> int | None:
        """Of a picture, by the end of its path; None for one that is not named, or by several numbers."""
        parts = PurePosixPath(plain_path(path)).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((self.images[end] for end in ends if end in self.images), None)


def coco_ids(file: Path) -> CocoIds:
    """Raises UsageError for a file that names no image or no class by number."""
    images: dict[str, int | None] = {}
    classes: dict[str, int] = {}
    for key, element in json_elements(file):
        if not isinstance(element, Mapping) or not isinstance(number := element.get("id"), int):
            continue
        if key == "categories":
            classes[str(element.get("name"))] = number
        elif key == "images":
            path = plain_path(str(element.get("file_name")))
            for name in dict.fromkeys((path, PurePosixPath(path).name)):
                images[name] = number if images.setdefault(name, number) == number else None
    if not images or not classes:
        raise UsageError(
            f"{file}: it numbers no images or no classes. Expected a COCO JSON with images and categories."
        )
    return CocoIds(images, classes)
