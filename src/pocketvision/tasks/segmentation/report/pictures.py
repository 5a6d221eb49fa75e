"""The worst images, four times side by side: the picture, what is there, what was answered, and where the two differ."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode
from pocketvision.tasks.segmentation.draw import COLOURS, opacities
from pocketvision.tasks.segmentation.mistakes import SegmentationMistake
from pocketvision.tasks.segmentation.truth import NOTHING, Mask, resized

SHOWN = 12
SIDE = 240
"""Pixels of a picture's longer side."""

_WRONG = np.array((255, 60, 50), np.uint8)
_GREY = 128


@dataclass(frozen=True)
class WorstPicture:
    """mistake: what is wrong. truth, answer, difference: data URIs, on the picture where it can still be read."""

    mistake: SegmentationMistake
    truth: str
    answer: str
    difference: str


def worst_images(mistakes: Sequence[SegmentationMistake], root: Path) -> list[WorstPicture]:
    """The first SHOWN; root: where the images' paths start."""
    return [_worst(each, root) for each in mistakes[:SHOWN]]


def _worst(mistake: SegmentationMistake, root: Path) -> WorstPicture:
    there, said = mistake.there.mask, mistake.answered.mask
    height, width = there.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    there, said = resized(there, size), resized(said, size)
    ground = _ground(root / mistake.path, size)
    wrong = (there != said) & (there != NOTHING)
    red = np.where(wrong[..., None], _WRONG, ground)
    return WorstPicture(mistake, _uri(_over(ground, there)), _uri(_over(ground, said)), _uri(red))


def _ground(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width, 3) the picture; grey where it can not be read any more."""
    try:
        image = decode(path, shortest_side=SIDE, white_level=None)  # bright enough to be seen
    except ImageError:
        return np.full((size[1], size[0], 3), _GREY, np.uint8)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2))


def _over(ground: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    share = opacities(mask, 0.6)[..., None]
    mixed: NDArray[np.uint8] = np.rint(ground + (COLOURS[mask] - ground.astype(np.float32)) * share).astype(np.uint8)
    return mixed


def _uri(pixels: NDArray[np.uint8]) -> str:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "WEBP", quality=76)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")
