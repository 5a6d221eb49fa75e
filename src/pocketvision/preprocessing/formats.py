"""The formats that are read. What a file holds is recognised by its first bytes, never by its name."""

import stat
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import IO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from pocketvision.errors import ImageError

# The only readers that are ever tried on a file. Importing a module enters it in Pillow's own table, Image.OPEN.
_READERS: dict[str, ModuleType] = {
    "JPEG": JpegImagePlugin,
    "PNG": PngImagePlugin,
    "WEBP": WebPImagePlugin,
    "BMP": BmpImagePlugin,
    "TIFF": TiffImagePlugin,
    "GIF": GifImagePlugin,
    "AVIF": AvifImagePlugin,
    "PPM": PpmImagePlugin,
}

FORMATS: tuple[str, ...] = tuple(_READERS)
"""Formats that are read, by Pillow's names, unless an allow-list narrows them."""

_AVIF = frozenset((b"avif", b"avis"))
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))

HEADER = 32
"""Bytes that tell a file's format, and of WebP its size."""


def open_image_file(path: Path, where: str) -> IO[bytes]:
    """Open a regular file for reading. Raises ImageError that names `where` and the cause."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(where, "it is a folder, not an image file")
        if not stat.S_ISREG(mode):  # a named pipe would block for ever
            raise ImageError(where, "it is not a regular file")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(where, "there is no such file") from error
    except PermissionError as error:
        raise ImageError(where, "no permission to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError(where, f"it can not be opened ({error})") from error


def identify(header: bytes, where: str, formats: Sequence[str] = FORMATS) -> str:
    """The format that a file's first HEADER bytes tell. Raises ImageError for none, or one that is not in `formats`."""
    if not header:
        raise ImageError(where, "the file is empty")
    if _is_heic(header):
        raise ImageError(where, "it is a HEIC picture, which is not read: convert it to JPEG")
    for name in FORMATS:
        accept = Image.OPEN[name][1]
        accepted = accept(header[:16]) if accept is not None else True
        if isinstance(accepted, str):
            raise ImageError(where, f"{name} is not supported by this installation of Pillow")
        if not accepted:
            continue
        if name not in formats:
            raise ImageError(where, f"{name} is not among the allowed formats ({', '.join(formats)})")
        return name
    if header[4:8] == b"ftyp":
        raise ImageError(where, "it is a video or of another kind of its container, which is not read as an image")
    raise ImageError(where, f"it is not an image of a known format ({', '.join(FORMATS)})")


def _is_heic(header: bytes) -> bool:
    """Whether it is what phones write, also behind the general brands mif1 and msf1, which AVIF has too."""
    if header[4:8] != b"ftyp":
        return False
    brands = [header[8:12], *(header[place : place + 4] for place in range(16, len(header), 4))]
    return not _AVIF.intersection(brands) and not _HEIC.isdisjoint(brands)


def webp_size(header: bytes) -> tuple[int, int]:
    """Width and height that a WebP's first HEADER bytes tell, (0, 0) where they tell none (RFC 9649, 2.5 to 2.7)."""
    kind = header[12:16]
    if kind == b"VP8X" and len(header) >= 30:
        return int.from_bytes(header[24:27], "little") + 1, int.from_bytes(header[27:30], "little") + 1
    if kind == b"VP8L" and len(header) >= 25:
        bits = int.from_bytes(header[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(header) >= 30:
        return int.from_bytes(header[26:28], "little") & 0x3FFF, int.from_bytes(header[28:30], "little") & 0x3FFF
    return 0, 0


def open_image(file: IO[bytes], format: str) -> Image.Image:
    """Pillow's lazy image of a file of a known format.

    Not by Image.open: its own pixel limit is a process-wide global that warns or raises before ours is asked.
    """
    file.seek(0)
    image = Image.OPEN[format][0](file, "")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _read_planes(image)
    return image


def _read_planes(image: TiffImagePlugin.TiffImageFile) -> None:
    """Mend how an uncompressed TIFF of 16 bits with one plane a colour is read: Pillow takes every byte of it for a pixel, and
    gives another picture without a word."""
    tags = image.tag_v2
    planes = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and 16 in tags.get(TiffImagePlugin.BITSPERSAMPLE, ())
    if planes and not image.use_load_libtiff:
        order = ";16L" if tags.prefix == TiffImagePlugin.II else ";16B"
        for place, tile in enumerate(image.tile):
            assert isinstance(tile.args, tuple)
            image.tile[place] = tile._replace(args=(tile.args[0] + order, *tile.args[1:]))
