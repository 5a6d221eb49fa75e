"""A source that is always there: colour fields that a bar wanders over, with the frame's number in black and white blocks."""

from collections.abc import Iterator
from itertools import count

import numpy as np

from pocketvision.streaming.frame import Pixels, SourceFrame

WIDTH, HEIGHT = 640, 480
BITS = 24
"""Of the frame's number: blocks from left to right along the lower edge, the lowest bit first, white for 1."""

_COLOURS = ((235, 60, 50), (60, 180, 75), (50, 90, 220), (240, 200, 40), (150, 60, 190), (60, 190, 200))


def read_test_pattern(fps: float) -> Iterator[SourceFrame]:
    """Pictures without end, `fps` a second by their positions."""
    for index in count():
        yield SourceFrame(pixels=lambda index=index: draw(index), position=index / fps)  # type: ignore[misc]


def draw(index: int) -> Pixels:
    """The pattern's picture with the number `index`, (HEIGHT, WIDTH, 3)."""
    colours = np.array(_COLOURS, dtype=np.uint8)
    pixels = np.repeat(colours[np.arange(WIDTH) * len(colours) // WIDTH][None], HEIGHT, axis=0)
    pixels[:, (4 * index) % WIDTH :][:, :16] = 255
    bits = (index >> np.arange(BITS)) & 1
    pixels[-HEIGHT // 12 :] = (255 * bits[np.arange(WIDTH) * BITS // WIDTH]).astype(np.uint8)[None, :, None]
    return pixels


def number_of(pixels: Pixels) -> int:
    """The number of a pattern's picture, read off its blocks; survives lossy video."""
    rows = pixels[-pixels.shape[0] // 24 :].mean(axis=(0, 2))
    middles = ((np.arange(BITS) + 0.5) * len(rows) / BITS).astype(int)
    return int(((rows[middles] > 127) << np.arange(BITS)).sum())
