"""What pictures of squares and discs are drawn from, and what a training on them gives."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pocketvision.workflows.training_run import TrainResult

RED, BLUE = (220, 30, 30), (30, 30, 220)
Fill = int | tuple[int, int, int]


def noise(random: np.random.Generator, width: int, height: int) -> Image.Image:
    """Grey, a value a pixel and channel."""
    return Image.fromarray(random.integers(90, 160, (height, width, 3), np.uint8))


def draw(picture: Image.Image, kind: int, x: int, y: int, side: int, fill: Fill) -> None:
    """A square (0) or a disc (1) of `side` pixels."""
    canvas = ImageDraw.Draw(picture)
    (canvas.rectangle, canvas.ellipse)[kind]((x, y, x + side - 1, y + side - 1), fill=fill)


@dataclass(frozen=True)
class Trained:
    """Where the pictures are, and the training on them."""

    data: Path
    result: TrainResult
