"""A picture that answers are drawn on, with Pillow."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Pillow's own font has no letters beyond the Latin ones. Pillow looks for these names in the system's font folders.
FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NanumGothic.ttf",
    "malgun.ttf",
    "AppleSDGothicNeo.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Canvas:
    """A copy of an RGB picture. pen: draws on it in the picture's own pixels. font: fits the picture's size.

    Lines of text are collected and stand at last in a dark strip at the picture's top, one below the other.
    """

    def __init__(self, pixels: NDArray[np.uint8], *, latin: bool) -> None:
        """pixels: (H, W, 3) RGB. latin: whether Latin letters are enough."""
        height, width = pixels.shape[:2]
        self._size = max(10, min(height // 16, width // 24))
        self._image = Image.fromarray(pixels)
        self._lines: list[str] = []
        self.pen = ImageDraw.Draw(self._image)
        self.font = _font(self._size, latin)

    def write(self, line: str) -> None:
        """Add a line to the strip."""
        self._lines.append(line)

    def finished(self) -> NDArray[np.uint8]:
        """The picture (H, W, 3) with all that was drawn and written."""
        image, size = self._image, self._size
        strip_height = min(image.height, round(1.3 * size * len(self._lines) + 0.6 * size)) if self._lines else 0
        strip = image.crop((0, 0, image.width, strip_height)).point(lambda value: value // 3)
        image.paste(strip, (0, 0))
        for place, line in enumerate(self._lines):
            corner = (size // 2, round(0.3 * size + 1.3 * size * place))
            self.pen.text(corner, line, fill=(255, 255, 255), font=self.font)
        return np.asarray(image)


@lru_cache(maxsize=8)
def _font(size: int, latin: bool) -> Font:
    for name in () if latin else FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
