"""Pictures to find bright spots in, drawn by NumPy: dim, of two colours, which are their classes."""

from pathlib import Path

import numpy as np
from PIL import Image

from bright_spots.source import write_spots

SIZE = (64, 48)
CLASSES = ("blue", "red")
LEAST_APART = 8


def write_pictures(folder: Path, count: int, *, classes: bool, seed: int = 0) -> Path:
    """`count` pictures with no to three white spots each and what is known of them. With `classes` also the colours; of every
    seventh only one of both. Returns `folder`."""
    folder.mkdir(parents=True)
    generator, known = np.random.default_rng(seed), {}
    for number in range(count):
        place = int(generator.integers(2))
        base = ((30, 40, 120), (120, 40, 30))[place]
        pixels = generator.normal(base, 10, (SIZE[1], SIZE[0], 3)).clip(0, 255).astype(np.uint8)
        points = _apart(generator, number % 4)
        for x, y in points:
            pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
        Image.fromarray(pixels).save(folder / f"{number}.png")
        known[f"{number}.png"] = {
            "class": CLASSES[place] if classes and number % 7 != 5 else None,
            "points": None if classes and number % 7 == 3 else [[x + 0.5, y + 0.5] for x, y in points],
        }
    write_spots(folder, known)
    return folder


def _apart(generator: np.random.Generator, count: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while len(found) < count:
        x, y = (int(generator.integers(4, side - 4)) for side in SIZE)
        if all(max(abs(x - each), abs(y - other)) >= LEAST_APART for each, other in found):
            found.append((x, y))
    return found
