"""Pictures of squares and discs with their boxes, and a detector that was trained on them once for all tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_shapes import BLUE, RED, Trained, draw, noise

import pocketvision

SIZE = 128


def drawn(folder: Path, count: int) -> Path:
    """Pictures of 160 x 120 with one to three red squares and blue discs of 24 to 48 pixels, as COCO says them."""
    random = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images").mkdir(parents=True)
    for index in range(count):
        picture, taken = noise(random, 160, 120), list[tuple[int, int, int]]()
        for _ in range(int(random.integers(1, 4))):
            side = int(random.integers(24, 49))
            x, y = int(random.integers(0, 160 - side)), int(random.integers(0, 120 - side))
            if any(abs(x - a) < max(side, s) and abs(y - b) < max(side, s) for a, b, s in taken):
                continue
            taken.append((x, y, side))
            kind = int(random.integers(2))
            draw(picture, kind, x, y, side, (RED, BLUE)[kind])
            annotations.append({"image_id": index, "category_id": kind + 1, "bbox": [x, y, side, side]})
        picture.save(folder / "images" / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 160, "height": 120})
    for number, each in enumerate(annotations):
        each.update(id=number, area=each["bbox"][2] ** 2, iscrowd=0)
    categories = [{"id": 1, "name": "square"}, {"id": 2, "name": "disc"}]
    said = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained_detector(made_once: Callable[[str, Callable[[Path], Trained]], Trained]) -> Trained:
    """80 steps of a head, and a few of the last stages too."""

    def make(folder: Path) -> Trained:
        data = drawn(folder / "shapes", 80)
        settings = ["phases.1.epochs=20", "phases.2.epochs=1", "batch=16", f"data.size={SIZE}", "cache.views=3"]
        return Trained(data, pocketvision.train(data, out=folder / "run", settings=settings))

    return made_once("detector", make)
