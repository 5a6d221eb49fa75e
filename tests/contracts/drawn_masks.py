"""Pictures of squares and discs with their masks, and a segmenter that was trained on them once for all tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_shapes import BLUE, RED, Trained, draw, noise
from PIL import Image

import pocketvision

SIZE = 64
LABELS = ("ground", "square", "disc")


def drawn(folder: Path, count: int) -> Path:
    """Pictures of 80 x 60 with a red square and a blue disc of 20 to 30 pixels on grey noise, in images/ beside masks/."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    for index in range(count):
        picture = noise(random, 80, 60)
        mask = Image.new("L", picture.size)
        for place, colour in ((1, RED), (2, BLUE)):
            side = int(random.integers(20, 31))
            x, y = int(random.integers(0, 80 - side)), int(random.integers(0, 60 - side))
            draw(picture, place - 1, x, y, side, colour)
            draw(mask, place - 1, x, y, side, place)
        picture.save(folder / "images" / f"{index}.png")
        mask.save(folder / "masks" / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def trained_segmenter(made_once: Callable[[str, Callable[[Path], Trained]], Trained]) -> Trained:
    """Some steps of the default head, and a few of the last stages too."""

    def make(folder: Path) -> Trained:
        data = drawn(folder / "shapes", 40)
        settings = ["phases.1.epochs=12", "phases.2.epochs=1", "batch=8", f"data.size={SIZE}", "cache.views=2"]
        return Trained(data, pocketvision.train(data, out=folder / "run", settings=settings))

    return made_once("segmenter", make)
