"""From a decoded video frame to the RGB picture that a player shows: colours as tagged, square pixels, upright, on white."""

import math
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketvision.errors import ImageError
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.streaming.frame import Pixels

if TYPE_CHECKING:
    import av

HD_LINES, HD_COLUMNS = 720, 1280
"""From either on, colours that are not tagged are taken for BT.709, as players do; below they are BT.601."""

_UNSPECIFIED = 2  # ITU-T H.273, table 4
_SQUARE = Fraction(1)


def video_pixels(frame: "av.VideoFrame", aspect: Fraction = _SQUARE) -> Pixels:
    """A decoded frame as RGB (H, W, 3). aspect: of one pixel, width to height; the shorter side of the picture is stretched.

    Raises ImageError for colours that can not be converted.
    """
    width, height = square_size(frame.width, frame.height, aspect)
    matrix = "ITU709" if frame.colorspace == _UNSPECIFIED and is_hd(frame.width, frame.height) else None
    transparent = frame.format.name == "pal8" or any(each.is_alpha for each in frame.format.components)
    try:
        pixels: Pixels = frame.to_ndarray(  # type: ignore[assignment]
            format="rgba" if transparent else "rgb24", width=width, height=height, src_colorspace=matrix
        )
    except (ValueError, OSError) as error:
        raise ImageError("frame", f"its colours ({frame.format.name}) can not be converted to RGB ({error})") from error
    return upright(_on_white(pixels) if transparent else pixels, _display_matrix(frame))


def is_hd(width: int, height: int) -> bool:
    """Whether a picture is HD: a wide one (1280 x 536 of a film) with fewer lines, too."""
    return height >= HD_LINES or width >= HD_COLUMNS


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """The size of a picture once its pixels are square. Never smaller; unchanged where the aspect makes no sense."""
    if aspect > 1:
        size = max(width, round(width * aspect)), height
    else:
        size = width, max(height, round(height / aspect)) if aspect > 0 else height
    return size if size[0] * size[1] <= MAX_PIXELS else (width, height)


def upright(pixels: Pixels, matrix: bytes | None) -> Pixels:
    """A picture turned and mirrored as its display matrix says, to the nearest quarter turn: phones store how they were held.

    matrix: nine 32-bit numbers, row by row, as FFmpeg has them: x' = a x + c y, y' = b x + d y.
    """
    if matrix is None or len(matrix) < 36:
        return pixels
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        to_right, down = a, d
    else:
        pixels, to_right, down = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if to_right < 0 else 1])


def _on_white(pixels: Pixels) -> Pixels:
    """RGB of RGBA, composed on white as pictures are."""
    alpha = pixels[..., 3:].astype(np.uint16)
    composed = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return composed.astype(np.uint8)


def _display_matrix(frame: "av.VideoFrame") -> bytes | None:
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside it stands what this PyAV has no name for (EXIF, views of a spatial video)
        angle = math.radians(frame.rotation)
        across, along = round(65536 * math.cos(angle)), round(65536 * math.sin(angle))
        return struct.pack("=9i", across, -along, 0, along, across, 0, 0, 0, 1 << 30)
    return None if data is None else bytes(data)
