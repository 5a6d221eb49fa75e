"""A mask on a picture: each class in its colour, through which the picture is seen."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.colours import class_colour
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.truth import MOST_CLASSES, NOTHING, Mask, resized

OPACITY = 0.5

COLOURS: NDArray[np.uint8] = np.array([*(class_colour(place) for place in range(MOST_CLASSES)), (0, 0, 0)], np.uint8)
"""(256, 3) by the mask's values."""


def draw(canvas: Canvas, answer: Segmentation) -> None:
    """The mask, as large as the picture, its borders in full colour; and the largest classes in words."""
    if answer.mask is not None:
        width, height = canvas.pen.im.size
        mask = resized(answer.mask, (width, height))
        canvas.tint(COLOURS[mask], opacities(mask))
    canvas.write(answer.headline)


def opacities(mask: Mask, opacity: float = OPACITY) -> NDArray[np.float32]:
    """(height, width): none where there is no class, all of it on the first pixel beyond a border."""
    found = np.full(mask.shape, opacity, np.float32)
    found[:, 1:][mask[:, 1:] != mask[:, :-1]] = 1
    found[1:][mask[1:] != mask[:-1]] = 1
    found[mask == NOTHING] = 0
    return found


def legend(answer: Segmentation) -> list[tuple[str, tuple[int, int, int]]]:
    """The classes that are there, the largest first, with their colours."""
    return [(answer.labels[place], class_colour(place)) for place in answer.ranked]
