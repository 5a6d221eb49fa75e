"""Masks in JSON and as cells of a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketvision.tasks.segmentation import forms
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.truth import MOST_CLASSES
from pocketvision.tasks.task import AnswerFile, Detail, Wire

_COUNT = {"type": "integer", "minimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_CORNER = {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}
SCHEMA = {
    "description": "The class of every pixel of the upright image.",
    "properties": {
        "size": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 2,
            "maxItems": 2,
            "description": "Width and height of the upright image in pixels.",
        },
        "classes": {
            "description": "Those that are there, the largest first.",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "share": {**_SHARE, "description": "Of the image's pixels."},
                    "area": {**_COUNT, "description": "In pixels."},
                    "value": {**_COUNT, "maximum": MOST_CLASSES - 1, "description": "What stands for it in the mask."},
                },
                "required": ["label", "share", "area", "value"],
            },
        },
        "confidence": {**_SHARE, "description": "The probability of each pixel's class, on average."},
        "mask": {
            "description": "Row by row from the top left; 255 stands for no class. As `rle`, runs of pixels: their values and "
            "how many pixels each has. As `png`, a palette PNG in base64. As `polygons`, of each value closed lines along the "
            "edges of its pixels, x and y of their corners; a pixel is of it where an odd number of them lies around it.",
            "type": "object",
            "properties": {
                "form": {"enum": list(forms.FORMS)},
                "width": {"type": "integer", "minimum": 1},
                "height": {"type": "integer", "minimum": 1},
                "values": {"type": "array", "items": {**_COUNT, "maximum": 255}},
                "lengths": {"type": "array", "items": _COUNT},
                "data": {"type": "string"},
                "polygons": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "value": {**_COUNT, "maximum": MOST_CLASSES - 1},
                            "rings": {"type": "array", "items": {"type": "array", "items": _CORNER}},
                        },
                        "required": ["value", "rings"],
                    },
                },
            },
            "required": ["form", "width", "height"],
        },
    },
    "required": ["size", "classes"],
}
COLUMNS = ("classes", "shares")


def to_json(answer: Segmentation, detail: Detail) -> dict[str, Any]:
    """`mask` in detail's form where masks are wanted."""
    pixels = answer.size[0] * answer.size[1]
    classes = [
        {
            "label": answer.labels[place],
            "share": float(answer.shares[place]),
            "area": round(float(answer.shares[place]) * pixels),
            "value": place,
        }
        for place in answer.ranked
    ]
    told: dict[str, Any] = {"size": list(answer.size), "classes": classes}
    if answer.confidence is not None:
        told["confidence"] = answer.confidence
    if detail.masks and answer.mask is not None:
        told["mask"] = forms.to_json(answer.mask, detail.mask_form)
    return told


def from_json(document: Mapping[str, Any]) -> Segmentation:
    """An answer whose labels are those of its classes, at their places; other places have empty names."""
    classes: list[Mapping[str, Any]] = list(document["classes"])
    places = [int(each["value"]) for each in classes]
    if any(not 0 <= place < MOST_CLASSES for place in places) or len(set(places)) != len(places):
        raise ValueError("two classes of one value, or a value that stands for none")
    labels, shares = [""] * (max(places, default=-1) + 1), np.zeros(max(places, default=-1) + 1)
    for place, each in zip(places, classes, strict=True):
        if not isinstance(each["label"], str) or not 0 <= float(each["share"]) <= 1:
            raise ValueError("a class without a name, or a share outside [0, 1]")
        labels[place], shares[place] = each["label"], float(each["share"])
    mask = forms.from_json(document["mask"]) if "mask" in document else None
    confidence = document.get("confidence")
    width, height = (int(side) for side in document["size"])
    return Segmentation(tuple(labels), (width, height), shares, mask, None if confidence is None else float(confidence))


def columns(_: Detail) -> list[str]:
    """COLUMNS."""
    return list(COLUMNS)


def cells(answer: Segmentation, _: Detail) -> list[object]:
    """The classes that are there, the largest first, with ";" between them, and so their shares."""
    names = [answer.labels[place] for place in answer.ranked]
    return [";".join(names), ";".join(f"{answer.shares[place]:.4f}" for place in answer.ranked)]


def _png(answer: Segmentation) -> bytes | None:
    return None if answer.mask is None else forms.png(answer.mask)


WIRE = Wire[Segmentation](to_json, from_json, SCHEMA, columns, cells, file=AnswerFile(".png", _png))
