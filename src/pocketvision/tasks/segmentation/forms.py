"""The forms in which a mask is told: runs of pixels, a PNG, and polygons."""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.preprocessing.values import read_values
from pocketvision.tasks.colours import class_colour
from pocketvision.tasks.segmentation.outlines import filled, outlines_of
from pocketvision.tasks.segmentation.truth import MOST_CLASSES, NOTHING, Mask
from pocketvision.tasks.task import MASK_FORMS

FORMS = MASK_FORMS


def runs(mask: Mask) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The values of a mask's runs and their lengths, row after row from the top left."""
    flat = mask.ravel()
    if not len(flat):
        return flat, np.zeros(0, np.int64)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [len(flat)]])
    return flat[starts[:-1]], np.diff(starts)


def to_json(mask: Mask, form: str) -> dict[str, Any]:
    """A mask in one of FORMS."""
    height, width = mask.shape
    told: dict[str, Any] = {"form": form, "width": width, "height": height}
    if form == "png":
        return {**told, "data": base64.b64encode(png(mask)).decode("ascii")}
    if form == "polygons":
        there = np.flatnonzero(np.bincount(np.unique(mask), minlength=256)[:NOTHING])
        return {**told, "polygons": [{"value": value, "rings": _rings(mask == value)} for value in there.tolist()]}
    values, lengths = runs(mask)
    return {**told, "values": values.tolist(), "lengths": lengths.tolist()}


def from_json(document: Mapping[str, Any]) -> Mask:
    """The way back. Raises KeyError, TypeError and ValueError for what is no mask, or one of more than MAX_PIXELS."""
    width, height = int(document["width"]), int(document["height"])
    if not (width > 0 and height > 0 and width * height <= MAX_PIXELS):
        raise ValueError(f"a mask of {width} x {height} pixels")
    if document["form"] == "png":
        mask = _read(document["data"], (width, height))
    elif document["form"] == "rle":
        values, lengths = (np.array(document[name], np.int64).reshape(-1) for name in ("values", "lengths"))
        whole = values.shape == lengths.shape and (lengths >= 0).all() and int(lengths.sum()) == width * height
        if not whole or ((values < 0) | (values > NOTHING)).any():
            raise ValueError("runs that do not fill the mask")
        mask = np.repeat(values.astype(np.uint8), lengths).reshape(height, width)
    elif document["form"] == "polygons":
        mask = _painted(document["polygons"], (height, width))
    else:
        raise ValueError(f"the form {document['form']!r}; expected one of {', '.join(FORMS)}")
    return mask


def _rings(marks: NDArray[np.bool_]) -> list[list[list[int]]]:
    return [[[x, y] for x, y in line] for line in outlines_of(marks)]


def _painted(polygons: Sequence[Mapping[str, Any]], shape: tuple[int, int]) -> Mask:
    mask = np.full(shape, NOTHING, np.uint8)
    for each in polygons:
        value = int(each["value"])
        if not 0 <= value < MOST_CLASSES:
            raise ValueError(f"a polygon of the value {value}")
        mask[filled([[(int(x), int(y)) for x, y in ring] for ring in each["rings"]], shape)] = value
    return mask


def png(mask: Mask) -> bytes:
    """A palette PNG: each pixel's value is its class, shown in the class's colour."""
    written = io.BytesIO()
    image = Image.fromarray(mask)
    image.putpalette(PALETTE)
    image.save(written, "PNG")
    return written.getvalue()


def _read(data: str, size: tuple[int, int]) -> Mask:
    try:
        image = read_values(base64.b64decode(data, validate=True), "mask")
    except (binascii.Error, ImageError) as error:
        raise ValueError(f"a mask that can not be read: {error}") from error
    if image.values.shape != size[::-1] or image.values.dtype != np.uint8:
        raise ValueError(f"a mask of {image.values.shape} values, and {size[::-1]} are said")
    found: Mask = image.values.astype(np.uint8)
    return found


PALETTE = bytes(side for place in range(MOST_CLASSES) for side in class_colour(place)) + bytes(3)
"""Of 255 classes, and black for NOTHING."""
