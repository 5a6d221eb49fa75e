"""LabelMe JSON: a file beside each picture, which the labelme tool opens as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketvision.data.box_writers.writer import Box, Picture, Writer, boxes_of
from pocketvision.json_text import json_text
from pocketvision.tasks.detection.truth import BoxLabels

_VERSION = "5.5.0"
"""Of the tool whose form this is."""


def write(folder: Path, truth: BoxLabels, pictures: Sequence[Picture]) -> None:
    """A rectangle an object; crowds and difficult ones have a flag that says so."""
    for picture in pictures:
        values: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [_shape(box) for box in boxes_of(truth, picture.index)],
            "imagePath": picture.name,
            "imageData": None,
            "imageHeight": picture.size[1],
            "imageWidth": picture.size[0],
        }
        file = (folder / picture.path).with_name(f"{picture.stem}.json")
        file.write_text(json_text(values, indent=2) + "\n", encoding="utf-8", errors="surrogateescape")


def _shape(box: Box) -> dict[str, Any]:
    left, top, right, bottom = box.corners
    flags = {name: True for name, holds in (("crowd", box.crowd), ("difficult", box.difficult)) if holds}
    return {
        "label": box.label,
        "points": [[left, top], [right, bottom]],
        "group_id": None,
        "description": "",
        "shape_type": "rectangle",
        "flags": flags,
        "mask": None,
        **({} if box.score is None else {"score": box.score}),
    }


LABELME = Writer(
    says="a JSON beside each picture, in a folder a split",
    folder=lambda split: split or "images",
    crowds=True,
    difficult=True,
    scores=True,
    write=write,
)
