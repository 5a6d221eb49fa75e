"""Contrast-limited adaptive histogram equalisation (CLAHE; Zuiderveld, Graphics Gems IV, 1994)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TILES = 8
"""Each way, in which the picture's greys are spread apart from one another."""


def equalised(image: Image.Image, limit: float) -> Image.Image:
    """An RGB picture whose lightness is equalised within its tiles. limit: how many times its even share a grey may have in a
    tile before it is cut; 1 changes next to nothing."""
    light, blue, red = image.convert("YCbCr").split()
    made = Image.fromarray(_equalised(np.asarray(light), limit))
    return Image.merge("YCbCr", (made, blue, red)).convert("RGB")


def _equalised(light: NDArray[np.uint8], limit: float) -> NDArray[np.uint8]:
    height, width = light.shape
    down, across = min(TILES, height), min(TILES, width)
    tall, broad = -(-height // down), -(-width // across)
    padded = np.pad(light, ((0, tall * down - height), (0, broad * across - width)), mode="symmetric")
    tiles = padded.reshape(down, tall, across, broad).transpose(0, 2, 1, 3).reshape(down * across, -1)
    tables = _tables(tiles, limit).reshape(down, across, 256)
    upper, lower, share_down = _between(height, tall, down)
    left, right, share_across = _between(width, broad, across)
    found = [tables[rows[:, None], columns[None, :], light] for rows in (upper, lower) for columns in (left, right)]
    first, second = (
        one + (other - one) * share_across[None, :] for one, other in ((found[0], found[1]), (found[2], found[3]))
    )
    mixed: NDArray[np.float32] = first + (second - first) * share_down[:, None]
    return np.rint(mixed).astype(np.uint8)


def _tables(tiles: NDArray[np.uint8], limit: float) -> NDArray[np.float32]:
    """(tiles, 256) what each grey of a tile becomes. What is cut from a histogram is spread over all of it."""
    pixels = tiles.shape[1]
    counts = np.stack([np.bincount(tile, minlength=256) for tile in tiles]).astype(np.float32)
    most = max(limit * pixels / 256, 1.0)
    kept = np.minimum(counts, most)
    kept += (pixels - kept.sum(axis=1, keepdims=True)) / 256
    return np.asarray(np.cumsum(kept, axis=1) * (255 / pixels), np.float32)


def _between(length: int, tile: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each pixel of a side the tiles whose middles it lies between, and how far it is on the way."""
    place = (np.arange(length) + 0.5) / tile - 0.5
    first = np.floor(place).astype(np.int64)
    share = (place - first).astype(np.float32)
    return np.clip(first, 0, count - 1), np.clip(first + 1, 0, count - 1), share
