"""Pixels as the numbers that a file holds: of a mask, whose values are names and no light. Bounded as `decode` is."""

import io
import math
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.preprocessing.decoding import MAX_PIXELS
from pocketvision.preprocessing.formats import HEADER, identify, open_image, open_image_file, webp_size

_LARGEST = 65535


@dataclass(frozen=True, eq=False)
class StoredValues:
    """values: (H, W) uint8 or uint16, of a palette picture the places in it; of colours (H, W, 3) uint8. palette: (k, 3); None
    where there is none. lossy: whether its format changes values."""

    values: NDArray[np.uint8] | NDArray[np.uint16]
    palette: NDArray[np.uint8] | None = None
    lossy: bool = False


def read_values(source: Path | bytes, where: str, *, max_pixels: int = MAX_PIXELS) -> StoredValues:
    """The stored values of a file, or of its content, not turned by EXIF; alpha is left behind. Raises ImageError, with `where`
    it is, for what is no image, has more than max_pixels, or holds no whole numbers of up to 16 bits."""
    with ExitStack() as opened:
        try:
            file: IO[bytes] = (
                io.BytesIO(source)
                if isinstance(source, bytes)
                else opened.enter_context(open_image_file(source, where))
            )
            header = file.read(HEADER)
            format = identify(header, where)
            if format == "WEBP":  # its reader makes room for the whole picture when it opens it
                _check(webp_size(header), where, max_pixels)
            image = open_image(file, format)
            _check(image.size, where, max_pixels)
            return _values(image, format, where)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError(where, "there is not enough memory to decode it") from error
        except Exception as error:  # Pillow's readers let many kinds of error out when a file is damaged or hostile
            cut = isinstance(error, struct.error | EOFError) or "truncated" in str(error)
            reason = "the file is truncated" if cut else f"the file is damaged or of an unsupported kind ({error})"
            raise ImageError(where, reason) from error


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Values (H, W, …) as EXIF's orientation, 1 to 8, turns a stored picture upright."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


def _check(size: tuple[int, int], where: str, max_pixels: int) -> None:
    if math.prod(size) > max_pixels:
        raise ImageError(where, f"{size[0]} x {size[1]} pixels are more than the limit of {max_pixels:,}")


def _values(image: Image.Image, format: str, where: str) -> StoredValues:
    image.load()
    lossy = format in ("JPEG", "AVIF")
    if image.mode in ("LA", "PA"):
        image = image.getchannel(0)
    if image.mode in ("1", "L", "P"):
        held = image.getpalette("RGB") if image.mode == "P" else None
        palette = None if held is None else np.array(held, np.uint8).reshape(-1, 3)
        return StoredValues(np.asarray(image).astype(np.uint8), palette, lossy)
    if image.mode.startswith("I"):
        whole = np.asarray(image).astype(np.int64)
        if whole.min(initial=0) < 0 or whole.max(initial=0) > _LARGEST:
            raise ImageError(where, f"it has values from {whole.min()} to {whole.max()}; expected 0 to {_LARGEST:,}")
        return StoredValues(whole.astype(np.uint16), None, lossy)
    if image.mode in ("RGB", "RGBA", "RGBX"):
        return StoredValues(np.asarray(image)[..., :3], None, lossy)
    raise ImageError(where, f"its pixels are of the kind {image.mode}; expected grey, a palette or RGB")
