"""The pixels that a person sees: alpha that is none, palettes, keys and pages, in the members that are written by hand."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.preprocessing import count_pictures, decode


def bmp(header: int, fourth: list[int], masks: tuple[int, ...] = ()) -> bytes:
    """A BMP of 32 bits a pixel: one row of (10, 20, 30) with these fourth bytes. header: its length (40: BITMAPINFOHEADER,
    56, 108, 124: later ones)."""
    body = b"".join(bytes((30, 20, 10, value)) for value in fourth)
    start = 14 + header
    info = struct.pack("<IiiHHIIiiII", header, len(fourth), 1, 1, 32, 3 if masks else 0, len(body), 2835, 2835, 0, 0)
    info += struct.pack(f"<{len(masks)}I", *masks)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + info.ljust(header, b"\0") + body


ARGB = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@pytest.mark.parametrize(
    "content",
    [
        bmp(40, [0, 0]),
        bmp(56, [0, 0], ARGB),
        bmp(108, [0, 0], ARGB),
        bmp(124, [0, 0], ARGB),
        bmp(108, [0, 0], (0, 0, 0, 0)),
    ],
)
def test_a_fourth_byte_that_is_0_everywhere_is_no_transparency_in_a_bmp(content: bytes) -> None:
    assert np.asarray(decode(content)).tolist() == [[[10, 20, 30]] * 2]


@pytest.mark.parametrize("header", [56, 108, 124])
def test_a_bmp_whose_alpha_is_used_is_composed_on_white(header: int) -> None:
    found = np.asarray(decode(bmp(header, [255, 0, 128], ARGB))).astype(int)
    assert found[0, :2].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert np.abs(found[0, 2] - [132, 137, 142]).max() <= 1


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_a_picture_that_says_it_is_transparent_is_white(format: str) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(file, format, **({"lossless": True} if format == "WEBP" else {}))
    assert (np.asarray(decode(file.getvalue())) == 255).all()


def tiff(bands: int, photometric: int, pixels: bytes, *extra: int) -> bytes:
    """An uncompressed TIFF of one row, 8 bits a sample; `extra` are its ExtraSamples."""
    width = len(pixels) // bands
    tags = [(256, width), (257, 1), (259, 1), (262, photometric), (273, 8), (277, bands), (278, 1), (279, len(pixels))]
    tags += [(338, extra[0])] if extra else []
    entries = [(tag, struct.pack("<HHII", tag, 4, 1, value)) for tag, value in tags]
    entries.append((258, struct.pack("<HHIHH", 258, 3, 1, 8, 0)))
    directory = b"".join(entry for _, entry in sorted(entries))
    return (
        b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(entries)) + directory + bytes(4)
    )


def test_extra_samples_of_a_tiff() -> None:
    pixel = bytes((100, 50, 0, 128))
    assert np.asarray(decode(tiff(4, 2, pixel, 0)))[0, 0].tolist() == [100, 50, 0]  # unspecified: no transparency
    unassociated = np.asarray(decode(tiff(4, 2, pixel, 2)))[0, 0].astype(int)
    assert np.abs(unassociated - [177, 152, 127]).max() <= 1
    associated = np.asarray(decode(tiff(4, 2, pixel, 1)))[0, 0].astype(int)  # multiplied by alpha already
    assert np.abs(associated - [227, 177, 127]).max() <= 1
    assert np.asarray(decode(tiff(4, 2, bytes((100, 50, 0, 0)))))[0, 0].tolist() == [100, 50, 0]  # undeclared, unused
    assert np.asarray(decode(tiff(4, 2, bytes((100, 50, 0, 0)), 2)))[0, 0].tolist() == [255, 255, 255]
    premultiplied_grey = np.asarray(decode(tiff(2, 1, bytes((50, 128)), 1)))[0, 0].astype(int)
    assert np.abs(premultiplied_grey - [177, 177, 177]).max() <= 1


def test_white_is_zero_and_luma_with_colour_differences() -> None:
    assert np.asarray(decode(tiff(1, 0, bytes((0, 255)))))[0, :, 0].tolist() == [255, 0]
    grey_and_red = np.asarray(decode(tiff(3, 6, bytes((128, 128, 128, 76, 85, 255)))))[0].astype(int)
    assert np.abs(grey_and_red - [[128, 128, 128], [254, 0, 0]]).max() <= 2


@pytest.mark.parametrize(("bits", "stored"), [(1, 0b10110001), (2, 0b00011011), (4, 0x5A)])
def test_a_transparent_grey_of_few_bits(bits: int, stored: int) -> None:
    """The key is compared with the value as it is stored: that of the second pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    values = [stored >> shift & (1 << bits) - 1 for shift in range(8 - bits, -1, -bits)]
    key = values[1]
    header = struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", key))
    content += chunk(b"IDAT", zlib.compress(bytes((0, stored)))) + chunk(b"IEND", b"")
    largest = (1 << bits) - 1
    assert np.asarray(decode(content))[0, :, 0].tolist() == [
        255 if each == key else each * 255 // largest for each in values
    ]


def test_a_gif_whose_first_frame_is_smaller_has_nothing_around_it() -> None:
    """A red frame of 2 x 2 in a picture of 4 x 4; viewers show what is around it as transparent."""
    bits = [code >> place & 1 for code in (4, 0, 4, 0, 4, 0, 4, 0, 5) for place in range(3)]
    bits += [0] * (-len(bits) % 8)
    data = bytes(
        sum(bit << place for place, bit in enumerate(bits[start : start + 8])) for start in range(0, len(bits), 8)
    )
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 1, 0) + bytes([255, 0, 0, 0, 0, 255])
    frame = b"," + struct.pack("<HHHHB", 1, 1, 2, 2, 0) + b"\x02" + bytes([len(data)]) + data + b"\0;"
    found = np.asarray(decode(head + frame))
    assert (found[1:3, 1:3] == [255, 0, 0]).all()
    assert (found == 255).all(axis=2).sum() == 12


def test_pictures_in_a_file_are_counted(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 8), (index * 40, 0, 0)) for index in range(4)]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        assert count_pictures(tmp_path / name) == 4
        pages[0].save(tmp_path / name)
        assert count_pictures(tmp_path / name) == 1
    pages[0].save(tmp_path / "a.jpg")
    (tmp_path / "no.gif").write_bytes(b"GIF89a")
    assert [count_pictures(tmp_path / name) for name in ("a.jpg", "no.gif", "absent.gif")] == [1, 1, 1]


def test_smaller_copies_and_masks_are_no_pages(tmp_path: Path) -> None:
    """A pyramid, as slide scanners write it: page, half its size, its mask."""
    pages = [Image.new("L", (64 >> index, 64 >> index), 90) for index in range(3)]
    for page, kind in zip(pages, (0, 1, 4), strict=True):
        page.encoderinfo = {"tiffinfo": {254: kind}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], tiffinfo={254: 0})
    assert count_pictures(tmp_path / "a.tif") == 1
