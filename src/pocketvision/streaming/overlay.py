"""What is written on a frame: label, probability, answers a second, milliseconds, dropped frames. Drawn with Pillow."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocketvision.streaming.frame import Pixels

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


class Overlay:
    """Draws lines of text in a dark strip at the top of a picture."""

    def __init__(self, labels: Iterable[str]) -> None:
        """labels: every name that may be drawn; they decide on the font."""
        self._latin = "".join(labels).isascii()

    def draw(self, pixels: Pixels, lines: list[str]) -> Pixels:
        """A copy of an RGB picture (H, W, 3) with the lines on it."""
        height, width = pixels.shape[:2]
        size = max(10, min(height // 16, width // 24))
        font = _font(size, self._latin)
        image = Image.fromarray(pixels)
        strip_height = min(height, round(1.3 * size * len(lines) + 0.6 * size))
        strip = image.crop((0, 0, width, strip_height)).point(lambda value: value // 3)
        image.paste(strip, (0, 0))
        canvas = ImageDraw.Draw(image)
        for place, line in enumerate(lines):
            canvas.text((size // 2, round(0.3 * size + 1.3 * size * place)), line, fill=(255, 255, 255), font=font)
        return np.asarray(image)


def overlay_lines(
    label: str | None, probability: float, *, fps: int, inference: float, dropped: int, error: str | None = None
) -> list[str]:
    """The two lines of an overlay. inference: seconds."""
    first = f"{label} {probability:.0%}" if label is not None else error or ""
    return [first, f"{fps} fps   {1e3 * inference:.1f} ms   {dropped} dropped"]


@lru_cache(maxsize=8)
def _font(size: int, latin: bool) -> Font:
    for name in () if latin else FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
