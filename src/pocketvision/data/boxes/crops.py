"""Crops of pictures with boxes: at random, and never past every object."""

import math

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.truth import BoxLabels

TRIES = 20
"""Windows that are drawn before the whole picture is taken."""

Window = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def crop_window(
    truth: BoxLabels,
    size: tuple[int, int],
    random: np.random.Generator,
    *,
    area: tuple[float, float] = (0.3, 1.0),
    aspect: tuple[float, float] = (0.75, 4 / 3),
) -> Window:
    """A window of a picture that holds the centre of at least one of its objects, drawn anew until it does: after SSD's crops
    (Liu et al. 2016, 2.2), which keep the objects whose centres are inside.

    truth: of that one image, in the pixels of a picture of `size` (width, height). area: what share of the picture it covers,
    drawn evenly; aspect: its width over its height relative to the picture's, drawn evenly in logarithm. A background is cut
    anywhere. The whole picture where TRIES windows hold none. What of an object is left within is for BoxLabels.through to keep
    or drop.
    """
    width, height = size
    counted = truth.boxes[~truth.rows.columns["crowd"]]
    centres = (counted[:, :2] + counted[:, 2:]) / 2
    for _ in range(TRIES):
        share, ratio = random.uniform(*area), math.exp(random.uniform(math.log(aspect[0]), math.log(aspect[1])))
        wide, high = min(width * math.sqrt(share * ratio), width), min(height * math.sqrt(share / ratio), height)
        left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
        window = left, top, left + wide, top + high
        if not len(centres) or holds(window, centres).any():
            return window
    return 0.0, 0.0, float(width), float(height)


def holds(window: Window, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(m) whether a window holds points (m, 2)."""
    inside = (points >= window[:2]) & (points < window[2:])
    return np.asarray(inside.all(axis=1), np.bool_)


def window_matrix(window: Window, size: tuple[int, int]) -> NDArray[np.float64]:
    """(3, 3) from the picture's pixels to those of an input of `size` (width, height) that shows the window alone, for
    Placement.then."""
    left, top, right, bottom = window
    across, down = size[0] / (right - left), size[1] / (bottom - top)
    return np.array([[across, 0, -left * across], [0, down, -top * down], [0, 0, 1]], np.float64)
