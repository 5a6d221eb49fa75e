"""What a source gives, a Picture, and what the reader makes of it, a Frame; and the crop that is taken out of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError

Pixels = NDArray[np.uint8]
"""(H, W, 3) uint8 in RGB order."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as a source gives it. pixels: computes its RGB array when it is called, and may raise ImageError.

    Only when called: a frame that is dropped unseen costs no conversion of colours. position: seconds from the start of the
    source by its own clock, None where it has none. name: a file's path in a folder, empty elsewhere.
    """

    pixels: Callable[[], Pixels]
    position: float | None
    name: str = ""


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture with its number (from 0, counting those that were dropped) and when it came out of the source.

    captured: seconds of time.monotonic. time: seconds since 1970.
    """

    picture: Picture
    index: int
    captured: float
    time: float


@dataclass(frozen=True)
class Crop:
    """A part of every frame, in pixels: the left and top edge, width and height."""

    left: int
    top: int
    width: int
    height: int

    def __call__(self, pixels: Pixels) -> Pixels:
        """The part as a view. Raises UsageError, naming the frame's size, when it reaches beyond the frame."""
        height, width = pixels.shape[:2]
        if self.left + self.width > width or self.top + self.height > height:
            raise UsageError(
                f"The crop {self.left},{self.top},{self.width},{self.height} (x, y, width, height in pixels) reaches beyond "
                f"the frame, which is {width} pixels wide and {height} high."
            )
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def parse_crop(text: str) -> Crop:
    """`x,y,width,height` in pixels. Raises UsageError for anything else, a negative corner or an empty part."""
    parts = text.split(",")
    try:
        left, top, width, height = (int(part) for part in parts)
    except ValueError:
        raise UsageError(
            f"--crop {text}: expected four whole numbers x,y,width,height in pixels, such as 100,50,640,480"
        ) from None
    if min(left, top) < 0 or min(width, height) < 1:
        raise UsageError(f"--crop {text}: x and y start at 0, width and height at 1 pixel")
    return Crop(left, top, width, height)
