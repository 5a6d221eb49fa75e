"""Resizing by looking up, without averaging over what is skipped, as detectors of torchvision's and TensorFlow's were trained."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def sampled(image: Image.Image, width: int, height: int) -> NDArray[np.float32]:
    """(height, width, 3) grey levels in [0, 255] of an RGB image, not rounded: each pixel between the four around its place.

    Pixel centres are at halves, and what lies beyond the outermost ones is as they are: torch's interpolate with "bilinear" and
    align_corners=False, and OpenCV's INTER_LINEAR.
    """
    pixels = np.asarray(image)
    above, below, down = _between(image.height, height)
    left, right, across = _between(image.width, width)
    flat, across, down = pixels.reshape(-1, 3), across[:, None], down[:, None, None]

    def row(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        starts = rows[:, None] * image.width
        found = flat.take(starts + left, axis=0).astype(np.float32)
        found += (flat.take(starts + right, axis=0) - found) * across
        return found

    upper = row(above)
    upper += (row(below) - upper) * down
    return upper


def _between(pixels: int, places: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """(places) each: the pixel before a place and the one after it, and the share of the latter. In torch's precision."""
    centres = (np.arange(places, dtype=np.float32) + np.float32(0.5)) * np.float32(pixels / places) - np.float32(0.5)
    centres = np.clip(centres, 0, pixels - 1)
    first = centres.astype(np.int64)
    return first, np.minimum(first + 1, pixels - 1), (centres - first).astype(np.float32)
