"""From a picture in any of Pillow's modes to upright 8-bit RGB, as a person sees it: turned, on white, white as white."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image, ImageFile, PngImagePlugin, TiffImagePlugin

from pocketvision.errors import ImageError
from pocketvision.preprocessing.lab import lab_to_rgb
from pocketvision.preprocessing.white_level import FULL_RANGE, to_eight_bits, white_level_of

Reopen = Callable[[], Image.Image]
"""Opens the same picture once more, not yet decoded."""

_ORIENTATION_TAG = 0x0112  # EXIF 2.3, table 4: how the camera was held, 1 (upright) to 8
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that exchange width and height."""

_WHITE = (255, 255, 255)
_PLANES = TiffImagePlugin.PLANAR_CONFIGURATION
# A PNG's transparent grey value is stored as its pixels are, which Pillow stretches from 2 and 4 bits to 8.
_STRETCHED = {"L;2": 85, "L;4": 17}
# What reads the other byte of every 16-bit sample. Pillow keeps only the high one of colour pictures.
_OTHER_BYTE = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGBX;16B": "RGBX;16L",
    "RGBX;16L": "RGBX;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    **{f"{band};16{order}": f"{band};16{other}" for band in "RGBA" for order, other in ("LB", "BL")},
}


def to_rgb(
    image: Image.Image, where: str, reopen: Reopen | None, white_level: int | None
) -> tuple[Image.Image, int | None]:
    """8-bit upright RGB of an opened image, which is decoded here, and the white level of its own if it has 16-bit pixels.

    white_level: what becomes white in 16-bit pixels; None takes the picture's own, the lowest that holds its largest value.
    reopen: None where the picture has no file. Raises ImageError for pixels without a white, or with one that is not read.
    """
    raw, frame = _raw_mode(image), _gif_frame(image)
    image.load()
    if image.mode == "I" and image.format == "PPM":  # of more than 8 bits, scaled to 16 by the reader
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    if image.mode.startswith("I;16"):
        grey, own = _grey(image, white_level)
        return upright(grey.convert("RGB"), image), own
    if image.mode in ("I", "F"):
        raise ImageError(
            where, "it has 32-bit or signed pixels, for which white is not defined; save it with 8 or 16 bits a channel"
        )
    own = None
    if reopen is not None and raw.partition(";")[2][:2] == "16":
        image, own = _sixteen_bit_colour(image, raw, reopen, white_level)
    elif raw in _STRETCHED and isinstance(image.info.get("transparency"), int):
        image.info["transparency"] *= _STRETCHED[raw]
    if image.mode == "LAB":
        return upright(lab_to_rgb(image, where), image), None
    rgb = _on_white(upright(image, image))
    return rgb if frame is None else _on_canvas(rgb, frame), own


def upright(image: Image.Image, source: Image.Image) -> Image.Image:
    """`image` turned as the EXIF orientation of `source` says. After loading: PNG may keep it behind the pixels, and TIFF
    applies it by itself."""
    turn = _TURNS.get(orientation_of(source))
    if turn is None:
        return image
    turned = image.transpose(turn)
    # A palette's transparency lives there; the orientation must not, or it would be applied a second time.
    turned.info = {name: value for name, value in image.info.items() if name == "transparency"}
    return turned


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none to be read: a damaged block does not make the pixels unreadable."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return orientation if orientation in _TURNS else 1


def _on_white(image: Image.Image) -> Image.Image:
    """RGB of an 8-bit image of any mode, composed on white where it is transparent."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if not image.has_transparency_data or _fourth_byte_is_unused(image):
        return image.convert("RGB")
    # Pillow knows no way from premultiplied grey to colour.
    straight = image.convert("LA") if image.mode == "La" else image
    with_alpha = straight if straight.mode == "RGBA" else straight.convert("RGBA")  # a copy of a large picture is much
    white = Image.new("RGB", image.size, _WHITE)
    white.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return white


def _gif_frame(image: Image.Image) -> tuple[int, int, int, int] | None:
    """The place of a GIF's first frame when it is smaller than the picture. Pillow fills what is around it."""
    tiles = image.tile if isinstance(image, GifImagePlugin.GifImageFile) else []
    return tiles[0].extents if tiles and tiles[0].extents != (0, 0, *image.size) else None


def _on_canvas(rgb: Image.Image, frame: tuple[int, int, int, int]) -> Image.Image:
    white = Image.new("RGB", rgb.size, _WHITE)
    white.paste(rgb.crop(frame), frame[:2])
    return white


def _fourth_byte_is_unused(image: Image.Image) -> bool:
    """Whether an alpha channel is none: in a BMP, and in a TIFF that does not say what its fourth channel is, one that is 0
    everywhere. Programs that write 32 bits a pixel and mean 24 leave it so, and viewers show such a picture."""
    undeclared = image.format == "BMP" or (
        isinstance(image, TiffImagePlugin.TiffImageFile) and TiffImagePlugin.EXTRASAMPLES not in image.tag_v2
    )
    return undeclared and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)


def _grey(image: Image.Image, white_level: int | None) -> tuple[Image.Image, int | None]:
    """8-bit grey of 16-bit grey, rounded (Pillow's own conversion clips or truncates), and the picture's own white level."""
    grey = np.asarray(image)
    declared = None
    inverted = False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) == (12,):
            declared = 4095
        inverted = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    own = None if declared else white_level_of(int(grey.max()))
    scaled = to_eight_bits(grey, declared or white_level or own or FULL_RANGE)
    if inverted:
        scaled = 255 - scaled
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[grey == transparent] = 255
    return Image.fromarray(scaled), own


def _sixteen_bit_colour(
    image: Image.Image, raw: str, reopen: Reopen, white_level: int | None
) -> tuple[Image.Image, int | None]:
    """`image`, decoded to the high bytes of its samples, or scaled anew where its white is lower; and its own white level."""
    key = image.info.get("transparency")
    colours = 1 if raw.startswith("LA") else 3
    if colours == 3 and raw not in _OTHER_BYTE:  # premultiplied or CMYK
        return image, None
    high = int(np.asarray(image)[..., :colours].max())
    own = white_level_of(high << 8 | 0xFF)
    white = white_level or own
    if white == FULL_RANGE and key is None:
        return image, own
    samples = _samples(image, raw, reopen)
    scaled = to_eight_bits(samples, white)
    if samples.shape[2] == 4:
        scaled[..., 3] = to_eight_bits(samples[..., 3], FULL_RANGE)
    if key is not None:
        scaled[(samples == key).all(axis=2)] = 255
    return Image.fromarray(scaled), own


def _samples(image: Image.Image, raw: str, reopen: Reopen) -> NDArray[np.uint16]:
    """The 16-bit samples (H, W, 3 or 4) of a picture that is decoded to their high bytes."""
    if raw == "LA;16B":  # 4 bytes a pixel: read as four channels, they are the bytes themselves
        parts = np.asarray(_reopened(reopen, "RGBA")).astype(np.uint16)
        grey, alpha = parts[..., 0] << 8 | parts[..., 1], parts[..., 2] << 8 | parts[..., 3]
        return np.stack([grey, grey, grey, alpha], axis=2)
    high: NDArray[np.uint16] = np.asarray(image).astype(np.uint16)
    low = high
    planes = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PLANES) == 2
    if not (planes and raw.startswith("RGB")):  # of compressed planes libtiff gives the high byte alone
        low = np.asarray(_reopened(reopen, None)).astype(np.uint16)
    return (high << 8 | low).astype(np.uint16)


def _reopened(reopen: Reopen, raw: str | None) -> Image.Image:
    """The picture decoded once more: by another raw mode, or to the other byte of its samples."""
    image = reopen()
    assert isinstance(image, ImageFile.ImageFile)

    def arguments(tile: ImageFile._Tile) -> Any:
        now = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        mode = raw or _OTHER_BYTE[_native(str(now[0]))]
        return (mode, *now[1:]) if isinstance(tile.args, tuple) else mode

    image.tile = [tile._replace(args=arguments(tile)) for tile in image.tile]
    image.load()
    return image


def _raw_mode(image: Image.Image) -> str:
    """How Pillow's decoder is to read a picture's samples, empty where it is no such decoder or is done already."""
    tiles = getattr(image, "tile", None)
    if not isinstance(image, PngImagePlugin.PngImageFile | TiffImagePlugin.TiffImageFile) or not tiles:
        return ""
    arguments = tiles[0].args
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    if not isinstance(raw, str):
        return ""
    return _native(raw)


def _native(raw: str) -> str:
    """A raw mode with its byte order named."""
    return raw[:-1] + ("L" if np.little_endian else "B") if raw.endswith(";16N") else raw
