"""Pictures and settings of the golden runs: three classes, drawn by NumPy from seeds, the same pixels everywhere."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("disc", "ring", "stripes")
EACH = 10
SIDE = 40

FORMAT1 = Path(__file__).parent / "format1"
SMALL_RUN: dict[str, Any] = {
    "model": str(FORMAT1 / "tiny.json"),
    "weights": str(FORMAT1 / "start.safetensors"),
    "size": 32,
    "unfreeze": 2,
    "epochs1": 1,
    "views": 1,
    "precision": "float32",
}
"""Settings of a training of a few seconds, without `epochs2` and `batch`."""


def write_pictures(folder: Path) -> None:
    """`folder`/CLASS/NUMBER.png, 30 pictures of 40 x 40 pixels. PNG is lossless, so their content hashes are always the same."""
    for place, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(EACH):
            Image.fromarray(_picture(name, 100 * place + number)).save(folder / name / f"{number}.png")


def _picture(name: str, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """(40, 40, 3) uint8: a bright shape on dark, with noise."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[0:SIDE, 0:SIDE] - random.integers(16, 24, 2)[:, None, None]
    distance = np.hypot(down, across)
    radius = random.integers(8, 14)
    shape = {
        "disc": distance < radius,
        "ring": np.abs(distance - radius) < 2,
        "stripes": (across + random.integers(8)) % 8 < 4,
    }[name]
    colours = random.integers(0, 90, 3), random.integers(150, 255, 3)
    picture = np.where(shape[:, :, None], colours[1], colours[0]) + random.normal(0, 6, (SIDE, SIDE, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)
