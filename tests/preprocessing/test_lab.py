"""L*a*b* TIFFs: colours as the formulas give them, not as Pillow's table does; what is not read is refused with its reason."""

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode

# XYZ of D50 to linear sRGB by Bradford's adaptation: http://www.brucelindbloom.com/Eqn_RGB_XYZ_Matrix.html
_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
_PHOTOMETRIC, _BITS, _WHITE_POINT, _ORIENTATION = 262, 258, 318, 274


def srgb_of(lab: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """sRGB (n, 3) in [0, 255] of L*a*b* (n, 3), and which of them are colours that sRGB has."""
    y = (lab[:, 0] + 16) / 116
    t = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(t > 6 / 29, t**3, 3 * (6 / 29) ** 2 * (t - 4 / 29)) * (0.96422, 1.0, 0.82521)
    linear = xyz @ _TO_SRGB.T
    inside = ((linear >= 0) & (linear <= 1)).all(axis=1)
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055), inside


def lab_tiff(stored: NDArray[np.int64], **options: object) -> bytes:
    """A TIFF of one row of stored values (n, 3): L* in [0, 255], a* and b* signed."""
    pixels = (stored & 255).astype(np.uint8)
    out = io.BytesIO()
    Image.frombytes("LAB", (len(stored), 1), pixels.tobytes()).save(out, "TIFF", **options)
    return out.getvalue()


def with_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """The file with another value of a tag of one number."""
    content, (directory,) = bytearray(tiff), struct.unpack("<I", tiff[4:8])
    (entries,) = struct.unpack("<H", tiff[directory : directory + 2])
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack("<H", tiff[entry : entry + 2])[0] == tag:
            content[entry + 8 : entry + 12] = struct.pack("<I", value)
    return bytes(content)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_every_colour_is_within_a_level_of_the_formulas(compression: str | None) -> None:
    steps = np.meshgrid(np.arange(0, 256, 15), np.arange(-110, 121, 10), np.arange(-110, 121, 10))
    stored = np.stack(steps, axis=-1).reshape(-1, 3)
    expected, inside = srgb_of(stored * (100 / 255, 1, 1))
    shown = np.asarray(decode(lab_tiff(stored, compression=compression)))[0]
    assert inside.sum() > 900
    assert np.abs(shown[inside] - expected[inside]).max() < 1


def test_known_colours() -> None:
    """Red, green, blue, white, middle grey of sRGB in L*a*b* of D50, as published (Lindbloom), rounded to what a file stores."""
    stored = np.array([[138, 81, 70], [224, -79, 81], [75, 68, -112], [255, 0, 0], [137, 0, 0]])
    shown = np.asarray(decode(lab_tiff(stored)))[0].tolist()
    for pixel, known in zip(
        shown, ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)), strict=True
    ):
        assert (
            max(abs(a - b) for a, b in zip(pixel, known, strict=True)) < 25
        )  # a step of b* is 22 levels of red in blue
    assert (shown[3], shown[4]) == ([255, 255, 255], [128, 128, 128])


def test_a_turned_picture_is_upright() -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[_ORIENTATION] = 6
    red_over_white = decode(lab_tiff(np.array([[138, 81, 70], [255, 0, 0]]), tiffinfo=directory))
    assert red_over_white.size == (1, 2)
    assert red_over_white.getpixel((0, 1)) == (255, 255, 255)


def test_what_is_not_read_is_refused_with_its_reason() -> None:
    tiff = lab_tiff(np.array([[138, 81, 70]]))
    for photometric in (9, 10):  # ICC's and the ITU's L*a*b*
        with pytest.raises(ImageError, match=r"L\*a\*b\*.*save it as RGB"):
            decode(with_tag(tiff, _PHOTOMETRIC, photometric))
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[_WHITE_POINT] = (0.3127, 0.3290)
    with pytest.raises(ImageError, match="another white than D50; save it as RGB"):
        decode(lab_tiff(np.array([[138, 81, 70]]), tiffinfo=directory))
    directory[_WHITE_POINT] = (0.3457, 0.3585)
    assert decode(lab_tiff(np.array([[255, 0, 0]]), tiffinfo=directory)).getpixel((0, 0)) == (255, 255, 255)
