"""Pictures made worse on purpose, each way in five severities (after Hendrycks and Dietterich 2019, "Benchmarking neural network
robustness": JPEG, noise and blur in their strengths, of pictures whose short side has 224 pixels)."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SEVERITIES = 5
_SIDE = 224

Matrix = NDArray[np.float64]
Made = tuple[Image.Image, Matrix]
"""The picture, and (3, 3) from the pixels of the one before to its own."""


@dataclass(frozen=True)
class Corruption:
    """strengths: of severity 1 to 5. make: the picture made so much worse; the generator decides what is left to chance. moves:
    whether what is seen is elsewhere afterwards; turns: whether upright boxes no longer fit it."""

    strengths: tuple[float, ...]
    unit: str
    make: Callable[[Image.Image, float, np.random.Generator], Made]
    turns: bool = False


def _jpeg(image: Image.Image, quality: float, _: np.random.Generator) -> Made:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=int(quality))
    return Image.open(io.BytesIO(written.getvalue())).convert("RGB"), np.eye(3)


def _blur(image: Image.Image, deviation: float, _: np.random.Generator) -> Made:
    return image.filter(ImageFilter.GaussianBlur(deviation * min(image.size) / _SIDE)), np.eye(3)


def _noise(image: Image.Image, deviation: float, generator: np.random.Generator) -> Made:
    values = np.asarray(image, np.float32)
    values = values + 255 * deviation * generator.standard_normal(values.shape, np.float32)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)), np.eye(3)


def _brightness(image: Image.Image, factor: float, _: np.random.Generator) -> Made:
    return image.point(lambda value: round(value * factor)), np.eye(3)


def _turn(image: Image.Image, degrees: float, generator: np.random.Generator) -> Made:
    angle = radians(degrees if generator.random() < 0.5 else -degrees)
    width, height = image.size
    across, down = width / 2, height / 2
    turn = np.array([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1.0]])
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = (-across, -down), (across, down)
    matrix = back @ turn @ to
    way_back = np.linalg.inv(matrix)
    turned = image.transform(
        image.size,
        Image.Transform.AFFINE,
        tuple(way_back[:2].ravel().tolist()),
        Image.Resampling.BILINEAR,
        fillcolor=(128, 128, 128),
    )
    return turned, matrix


def _crop(image: Image.Image, share: float, _: np.random.Generator) -> Made:
    width, height = (max(1, round(side * share)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    matrix = np.eye(3)
    matrix[:2, 2] = -left, -top
    return image.crop((left, top, left + width, top + height)), matrix


CORRUPTIONS: dict[str, Corruption] = {
    "jpeg": Corruption((25, 18, 15, 10, 7), "quality", _jpeg),
    "blur": Corruption((1, 2, 3, 4, 6), "px of 224", _blur),
    "noise": Corruption((0.08, 0.12, 0.18, 0.26, 0.38), "of 1", _noise),
    "brightness": Corruption((0.8, 0.65, 0.5, 0.35, 0.2), "times", _brightness),
    "turn": Corruption((5, 10, 15, 20, 30), "°", _turn, turns=True),
    "crop": Corruption((0.95, 0.9, 0.8, 0.7, 0.6), "of the sides", _crop),
}
"""What is made worse, by name."""
