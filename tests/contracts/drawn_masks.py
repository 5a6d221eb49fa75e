"""Pictures of squares and discs with their masks, and a segmenter that was trained on them once for all tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import pocketvision
from pocketvision.workflows.training_run import TrainResult

SIZE = 64
LABELS = ("ground", "square", "disc")


def drawn(folder: Path, count: int) -> Path:
    """Pictures of 80 x 60 with a red square and a blue disc of 20 to 30 pixels on grey noise, in images/ beside masks/."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    for index in range(count):
        picture = Image.fromarray(random.integers(90, 160, (60, 80, 3), np.uint8))
        mask = Image.new("L", picture.size)
        for place, colour in ((1, (220, 30, 30)), (2, (30, 30, 220))):
            side = int(random.integers(20, 31))
            x, y = int(random.integers(0, 80 - side)), int(random.integers(0, 60 - side))
            for canvas, fill in ((ImageDraw.Draw(picture), colour), (ImageDraw.Draw(mask), place)):
                (canvas.rectangle, canvas.ellipse)[place - 1]((x, y, x + side - 1, y + side - 1), fill=fill)
        picture.save(folder / "images" / f"{index}.png")
        mask.save(folder / "masks" / f"{index}.png")
    return folder


@dataclass(frozen=True)
class Trained:
    data: Path
    result: TrainResult


@pytest.fixture(scope="session")
def trained_segmenter(made_once: Callable[[str, Callable[[Path], Trained]], Trained]) -> Trained:
    """Some steps of the default head, and a few of the last stages too."""

    def make(folder: Path) -> Trained:
        data = drawn(folder / "shapes", 40)
        settings = ["phases.1.epochs=12", "phases.2.epochs=1", "batch=8", f"data.size={SIZE}", "cache.views=2"]
        return Trained(data, pocketvision.train(data, out=folder / "run", settings=settings))

    return made_once("segmenter", make)
