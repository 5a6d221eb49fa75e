"""The part of every frame that is answered."""

from dataclasses import dataclass

from pocketvision.errors import UsageError
from pocketvision.streaming.frame import Pixels


class CropError(UsageError):
    """A crop that reaches beyond a frame."""


@dataclass(frozen=True)
class Crop:
    """A part of every frame, in pixels: the left and top edge, width and height."""

    left: int
    top: int
    width: int
    height: int

    def __call__(self, pixels: Pixels) -> Pixels:
        """The part as a view. Raises CropError, naming the frame's size, when it reaches beyond the frame."""
        height, width = pixels.shape[:2]
        if self.left + self.width > width or self.top + self.height > height:
            raise CropError(
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
