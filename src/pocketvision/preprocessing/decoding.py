"""The only way from an image's file, bytes, array or Pillow image to upright 8-bit RGB."""

import io
import struct
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, TiffImagePlugin

from pocketvision.errors import ImageError, PictureWarning
from pocketvision.preprocessing.ancillary import damaged_chunks, without_metadata
from pocketvision.preprocessing.formats import FORMATS, HEADER, identify, open_image, open_image_file, webp_size
from pocketvision.preprocessing.placement import Placement
from pocketvision.preprocessing.rgb import SIDEWAYS, Reopen, orientation_of, to_rgb
from pocketvision.preprocessing.white_level import FULL_RANGE

MAX_PIXELS = 50_000_000
"""Default limit of width x height, checked before anything is decoded."""

MAX_REPAIRED = 512 * 1024 * 1024
"""Bytes of a file that is read a second time without what stands beside its pixels."""

ImageSource = str | Path | bytes | NDArray[np.uint8] | Image.Image
"""A file's path, its content, an array of uint8 (H, W), (H, W, 3) or (H, W, 4) in RGB(A) order, or a Pillow image."""

_SUBFILE_TYPE, _REDUCED, _MASK = 254, 1, 4  # TIFF 6.0: a smaller copy, or the transparency, of another page
_SEVERAL = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image as upright 8-bit RGB, and what its file turned out to be.

    format: by Pillow's name, empty without a file. white_level: of 16-bit pixels, the lowest that holds the largest of them; None
    for others. damage: what is damaged beside the pixels (a chunk's name, or in words), which did not matter. reduced_from: of a
    JPEG decoded smaller than it is, its upright width and height, the divisor, and the EXIF orientation; None for the whole size.
    """

    image: Image.Image
    format: str = ""
    white_level: int | None = None
    damage: tuple[str, ...] = ()
    reduced_from: tuple[tuple[int, int], int, int] | None = None

    @property
    def placement(self) -> Placement:
        """From the pixels of the upright image in its whole size to those of `image`."""
        return Placement.of_decoding(*(self.reduced_from or (self.image.size,)))


@dataclass(frozen=True)
class _Limits:
    max_pixels: int = MAX_PIXELS
    formats: Sequence[str] = FORMATS
    shortest_side: int | None = None
    white_level: int | None = FULL_RANGE


def decode(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    shortest_side: int | None = None,
    white_level: int | None = FULL_RANGE,
) -> Image.Image:
    """Read an image of any supported kind as upright 8-bit RGB.

    EXIF orientation is applied, alpha is composed on white, palette, grey, 16-bit and CMYK become RGB, and of an
    animation the first frame is taken. Colour profiles are not applied. `formats` is an allow-list out of FORMATS.
    With `shortest_side` a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size so long as its short side stays at least
    twice `shortest_side` pixels. `white_level` is what becomes white in 16-bit pixels (see white_level.py); None takes each
    picture's own. What is damaged beside the pixels (texts, profiles, EXIF) never makes a file unreadable.

    Raises ImageError, naming the file and the cause, for everything that can be wrong with an image; `max_pixels` is
    checked before pixels are decoded. TypeError is for what is no ImageSource.
    """
    return decode_image(
        source, max_pixels=max_pixels, formats=formats, shortest_side=shortest_side, white_level=white_level
    ).image


def decode_image(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    shortest_side: int | None = None,
    white_level: int | None = FULL_RANGE,
) -> DecodedImage:
    """What `decode` reads, with the way back to the pixels of the whole image. Raises what `decode` raises.

    Warns (PictureWarning) of 16-bit pixels above `white_level`.
    """
    found = _read(source, _Limits(max_pixels, formats, shortest_side, white_level))
    if white_level is not None and found.white_level is not None and found.white_level > white_level:
        warnings.warn(
            f"A 16-bit picture has values above {white_level:,}, which is white here: all that is brighter looks the same. "
            "Scale such pictures to that range, or train with a higher --white-level.",
            PictureWarning,
            stacklevel=1,
        )
    return found


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """A file as `decode` reads it, with a 16-bit picture's own white, and what the file turned out to be. Raises ImageError."""
    found = _read(path, _Limits(max_pixels, white_level=None))
    if found.format == "PNG" and not found.damage:  # damaged chunks behind the pixels are skipped without a word
        with open_image_file(path, str(path)) as file:
            return replace(found, damage=damaged_chunks(file))
    return found


def count_pictures(path: Path) -> int:
    """How many pictures a file holds: frames of an animation, or pages. `decode` takes the first. 1 where it can not be told."""
    try:
        with open_image_file(path, str(path)) as file:
            format = identify(file.read(HEADER), str(path))
            if format not in _SEVERAL:
                return 1
            image = open_image(file, format)
            return _pages(image) if isinstance(image, TiffImagePlugin.TiffImageFile) else getattr(image, "n_frames", 1)
    except Exception:  # a file that can not be read, or not to its end, is reported where it is decoded
        return 1


def _pages(image: TiffImagePlugin.TiffImageFile) -> int:
    """Pages of a TIFF, without smaller copies of them and masks."""
    pages = 0
    for page in range(image.n_frames):
        image.seek(page)
        kind = image.tag_v2.get(_SUBFILE_TYPE, 0)
        pages += page == 0 or not (isinstance(kind, int) and kind & (_REDUCED | _MASK))
    return pages


def _read(source: ImageSource, limits: _Limits) -> DecodedImage:
    where = _name_of(source)
    with ExitStack() as opened:
        try:
            if isinstance(source, Image.Image | np.ndarray):
                image = source if isinstance(source, Image.Image) else _from_array(source, where)
                _check_size(image.size, where, limits)
                rgb, white = to_rgb(image, where, None, limits.white_level)
                return DecodedImage(rgb, white_level=white)
            file: IO[bytes] = (
                io.BytesIO(source)
                if isinstance(source, bytes)
                else opened.enter_context(open_image_file(Path(source), where))
            )
            return _read_file(file, where, limits)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError(where, "there is not enough memory to decode it") from error
        except Exception as error:  # Pillow's readers let many kinds of error out when a file is damaged or hostile
            raise ImageError(where, _damage(error)) from error


def _read_file(file: IO[bytes], where: str, limits: _Limits) -> DecodedImage:
    """Decode a file; when that fails, once more without what stands beside the pixels. The first error counts."""
    header = file.read(HEADER)
    format = identify(header, where, limits.formats)
    try:
        return _decode_as(format, file, where, limits)
    except (ImageError, MemoryError):
        raise
    except Exception as first:
        if file.seek(0, io.SEEK_END) > MAX_REPAIRED:
            raise
        file.seek(0)
        content = file.read()
        for stripped in without_metadata(format, content):
            try:
                found = _decode_as(format, io.BytesIO(stripped.content), where, limits)
            except (ImageError, MemoryError):
                raise
            except Exception:  # less is tried next; at last the first error is raised
                continue
            return replace(found, damage=stripped.damaged)
        raise first


def _decode_as(format: str, file: IO[bytes], where: str, limits: _Limits) -> DecodedImage:
    if format == "WEBP":  # its reader makes room for the whole picture when it opens it
        file.seek(0)
        _check_size(webp_size(file.read(HEADER)), where, limits)
    image = open_image(file, format)
    _check_size(image.size, where, limits)
    reduced_from = None
    if limits.shortest_side is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
        reduced_from = _reduce(image, 2 * limits.shortest_side)
    reopen: Reopen = lambda: open_image(file, format)  # noqa: E731
    rgb, white = to_rgb(image, where, reopen, limits.white_level)
    return DecodedImage(rgb, format, white, reduced_from=reduced_from)


def _reduce(image: JpegImagePlugin.JpegImageFile, side: int) -> tuple[tuple[int, int], int, int] | None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 if both sides stay at least `side` pixels; DecodedImage.reduced_from."""
    width, height = image.size
    drafted = image.draft(None, (side, side))
    reduction = 1 if drafted is None else round(width / drafted[1][2])
    if reduction == 1:
        return None
    orientation = orientation_of(image)
    return (height, width) if orientation in SIDEWAYS else (width, height), reduction, orientation


def _name_of(source: ImageSource) -> str:
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, bytes | np.ndarray | Image.Image):
        return "image bytes" if isinstance(source, bytes) else type(source).__name__
    raise TypeError(f"{type(source).__name__} is not an image: expected a path, bytes, an array or a Pillow image")


def _check_size(size: tuple[int, int], where: str, limits: _Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageError(
            where,
            f"{width} x {height} pixels are more than the limit of {limits.max_pixels:,} (raise max_pixels to read it)",
        )


def _damage(error: Exception) -> str:
    if struct.error in (type(error), type(error.__cause__)):  # whose own words are about buffers
        return "the file is truncated"
    text = str(error) or type(error).__name__
    if "truncated" in text or isinstance(error, EOFError):
        return f"the file is truncated ({text})"
    if text == "unknown pixel mode":
        return "its pixels are of a kind that is not read (such as L*a*b* of 16 bits); save it as RGB of 8 or 16 bits a channel"
    return f"the file is damaged or of an unsupported kind ({text})"


def _from_array(array: NDArray[Any], where: str) -> Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shape_fits or array.size == 0:
        raise ImageError(
            where,
            f"an array of {array.dtype} with shape {array.shape} is not an image; expected uint8 with shape "
            "(height, width), (height, width, 3) or (height, width, 4), channels in RGB order",
        )
    return Image.fromarray(array)
