"""Pictures of single errors: the part of the image around them, with the boxes drawn."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode_image
from pocketvision.tasks.colours import Colour
from pocketvision.tasks.detection.draw import Box
from pocketvision.tasks.detection.error_kinds import KINDS
from pocketvision.tasks.detection.mistakes import DetectionError, DetectionMistake
from pocketvision.tasks.reporting.thumbnails import SIDE

SHOWN = 6
"""Of each kind."""

_AROUND = 2.5
"""The side of the part that is shown, in longest sides of the boxes."""

WRONG, THERE = (255, 70, 60), (70, 220, 110)
"""Colours: what the model said, and what is there; that is dashed, for who can not tell them apart."""

_WIDTH, _DASH = 3, 9
"""Pixels of a box's line, and of its dashes."""


@dataclass(frozen=True)
class ErrorPicture:
    """data: a data URI; None where the image can not be read any more."""

    error: DetectionError
    path: str
    data: str | None


def worst_of_each_kind(mistakes: Sequence[DetectionMistake], root: Path) -> dict[str, list[ErrorPicture]]:
    """By kind, the worst first, each of another image as far as there are; root: where the images' paths start."""
    found: dict[str, list[ErrorPicture]] = {}
    for kind in KINDS:
        own = [(error, each.path) for each in mistakes for error in each.errors if error.kind == kind]
        ranked = sorted(own, key=lambda pair: -_rank(pair[0]))
        seen, first, later = set[str](), list[tuple[DetectionError, str]](), list[tuple[DetectionError, str]]()
        for error, path in ranked:
            (later if path in seen else first).append((error, path))
            seen.add(path)
        found[kind] = [
            ErrorPicture(error, path, picture(root / path, error)) for error, path in (first + later)[:SHOWN]
        ]
    return found


def _rank(error: DetectionError) -> float:
    """The surest first; of missed ones the largest."""
    left, top, right, bottom = error.box
    return (right - left) * (bottom - top) if error.score is None else error.score


def picture(path: Path, error: DetectionError) -> str | None:
    """A square of SIDE pixels as a data URI; None when the image can not be read any more."""
    try:
        decoded = decode_image(path, white_level=None)  # bright enough to be seen
    except ImageError:
        return None
    boxes = np.array([error.box, *([] if error.meant_box is None else [error.meant_box])])
    middle = (boxes[:, :2].min(axis=0) + boxes[:, 2:].max(axis=0)) / 2
    size, all_of_them = np.array(decoded.image.size), boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)
    side = max(_AROUND * float((boxes[:, 2:] - boxes[:, :2]).max()), 32.0)
    side = min(side, max(float(size.min()), float(all_of_them.max())))
    # As much of the image as there is: the boxes are in the middle where that is not at its border.
    low = np.where(size > side, np.clip(middle - side / 2, 0, size - side), (size - side) / 2)
    part = decoded.image.transform(
        (SIDE, SIDE),
        Image.Transform.EXTENT,
        (*low.tolist(), *(low + side).tolist()),
        Image.Resampling.BICUBIC,
        fillcolor=(40, 40, 40),
    )
    pen, scale = ImageDraw.Draw(part), SIDE / side
    moved = [tuple(((np.reshape(box, (2, 2)) - low) * scale).ravel().tolist()) for box in boxes.tolist()]
    kinds = (THERE if error.score is None else WRONG, THERE)
    for (left, top, right, bottom), colour in reversed(list(zip(moved, kinds, strict=False))):
        _frame(pen, (left, top, right, bottom), colour)
    written = io.BytesIO()
    part.save(written, "WEBP", quality=76)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def _frame(pen: ImageDraw.ImageDraw, box: Box, colour: Colour) -> None:
    """A box with a thin dark edge, so that it stands out from any picture; of THERE it is dashed."""
    left, top, right, bottom = (round(each) for each in box)
    right, bottom = max(right - 1, left), max(bottom - 1, top)
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(14, 16, 20), width=_WIDTH + 2)
    if colour != THERE:
        pen.rectangle((left, top, right, bottom), outline=colour, width=_WIDTH)
        return
    for x in range(left, right + 1, 2 * _DASH):
        for y in (top, bottom - _WIDTH + 1):
            pen.rectangle((x, y, min(x + _DASH - 1, right), y + _WIDTH - 1), fill=colour)
    for y in range(top, bottom + 1, 2 * _DASH):
        for x in (left, right - _WIDTH + 1):
            pen.rectangle((x, y, x + _WIDTH - 1, min(y + _DASH - 1, bottom)), fill=colour)
