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
    """A copy of an RGB picture. pen: draws on it in the picture's own pixels. font: fits the picture's size; small: for what
    stands on parts of it.

    Lines of text are collected and stand at last in a dark strip at the picture's top, one below the other, the first one large.
    """

    def __init__(self, pixels: NDArray[np.uint8], *, latin: bool) -> None:
        """pixels: (H, W, 3) RGB. latin: whether Latin letters are enough."""
        height, width = pixels.shape[:2]
        self._size = max(10, min(height // 16, width // 24))
        self._image = Image.fromarray(pixels)
        self._lines: list[str] = []
        self.pen = ImageDraw.Draw(self._image)
        self._small = max(10, round(0.6 * self._size))
        self.font, self.small = _font(self._size, latin), _font(self._small, latin)

    def write(self, line: str) -> None:
        """Add a line to the strip."""
        self._lines.append(line)

    def tint(self, colours: NDArray[np.uint8], opacity: NDArray[np.float32]) -> None:
        """Lay colours (H, W, 3) over the picture, each pixel as far as its opacity (H, W) in [0, 1] says."""
        drawn = np.asarray(self._image).astype(np.float32)
        drawn += (colours - drawn) * opacity[..., None]
        self._image.paste(Image.fromarray(np.rint(drawn).astype(np.uint8)))

    def finished(self) -> NDArray[np.uint8]:
        """The picture (H, W, 3) with all that was drawn and written."""
        if not self._lines:
            return np.asarray(self._image)
        image, size, small = self._image, self._size, self._small
        tops = [0.3 * size, *(1.6 * size + 1.3 * small * place for place in range(len(self._lines)))]
        strip = image.crop((0, 0, image.width, min(image.height, round(tops[len(self._lines)] + 0.3 * size))))
        image.paste(strip.point(lambda value: value // 3), (0, 0))
        for place, (line, top) in enumerate(zip(self._lines, tops, strict=False)):
            font = self.small if place else self.font
            self.pen.text((size // 2, round(top)), line, fill=(255, 255, 255), font=font)
        return np.asarray(image)


@lru_cache(maxsize=8)
def _font(size: int, latin: bool) -> Font:
    for name in () if latin else FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
