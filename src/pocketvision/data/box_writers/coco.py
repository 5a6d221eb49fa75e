"""COCO JSON: a file a split, its pictures beside it in a folder of its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pocketvision.data.box_writers.writer import Picture, Writer, boxes_of, by_split
from pocketvision.json_text import json_text
from pocketvision.tasks.detection.truth import BoxLabels


def write(folder: Path, truth: BoxLabels, pictures: Sequence[Picture]) -> None:
    """annotations/instances_SPLIT.json, an element a line. Classes are numbered from 1, as COCO's are."""
    (folder / "annotations").mkdir()
    categories = [{"id": place, "name": name} for place, name in enumerate(truth.class_names, 1)]
    for split, members in by_split(pictures).items():
        file = folder / "annotations" / f"instances{split and '_'}{split}.json"
        with file.open("w", encoding="utf-8", errors="surrogateescape") as opened:
            opened.write('{"images": [')
            opened.write(_lines(_images(members)))
            opened.write('], "categories": [')
            opened.write(_lines(categories))
            opened.write('], "annotations": [')
            for place, each in enumerate(_annotations(truth, members)):
                opened.write(("," if place else "") + "\n" + json_text(each))
            opened.write("]}\n")


def _images(members: Sequence[Picture]) -> list[dict[str, Any]]:
    return [
        {"id": place, "file_name": each.name, "width": each.size[0], "height": each.size[1]}
        for place, each in enumerate(members, 1)
    ]


def _annotations(truth: BoxLabels, members: Sequence[Picture]) -> Iterator[dict[str, Any]]:
    number = 0
    for image, picture in enumerate(members, 1):
        for box in boxes_of(truth, picture.index):
            number += 1
            left, top, right, bottom = box.corners
            yield {
                "id": number,
                "image_id": image,
                "category_id": box.place + 1,
                "bbox": [left, top, round(right - left, 6), round(bottom - top, 6)],
                "area": box.area,
                "iscrowd": int(box.crowd),
                **({"ignore": 1} if box.difficult else {}),
                **({} if box.score is None else {"score": box.score}),
            }


def _lines(elements: Sequence[Any]) -> str:
    return ",".join("\n" + json_text(each) for each in elements)


COCO = Writer(
    says="annotations/instances_SPLIT.json, pictures in a folder a split",
    folder=lambda split: split or "images",
    crowds=True,
    difficult=True,
    scores=True,
    write=write,
)
