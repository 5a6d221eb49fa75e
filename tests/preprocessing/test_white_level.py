"""16-bit pictures: which value is white, and that every bit counts where only a part of the range is used."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketvision.preprocessing import FULL_RANGE, WHITE_LEVELS, Preprocessing, decode, read_image
from pocketvision.preprocessing.white_level import to_eight_bits, white_level_of

COLOURS = {0: 1, 2: 3, 4: 2, 6: 4}  # PNG's colour types: channels


def png(values: NDArray[np.uint16], colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 16-bit PNG of values (H, W, channels)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = values.shape
    assert COLOURS[colour] == channels
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    between = b"".join(chunk(kind, data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + between + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def tiff(values: NDArray[np.uint16], order: str, photometric: int, extra: int | None = None) -> bytes:
    """An uncompressed 16-bit TIFF of values (H, W, channels)."""
    height, width, channels = values.shape
    data = values.astype(order + "u2").tobytes()
    bits = struct.pack(order + f"{channels}H", *[16] * channels)
    tags = [
        (256, 4, 1, struct.pack(order + "I", width)),
        (257, 4, 1, struct.pack(order + "I", height)),
        (258, 3, channels, struct.pack(order + "I", 8 + len(data)) if channels > 2 else bits),
        (259, 3, 1, struct.pack(order + "H", 1)),
        (262, 3, 1, struct.pack(order + "H", photometric)),
        (273, 4, 1, struct.pack(order + "I", 8)),
        (277, 3, 1, struct.pack(order + "H", channels)),
        (278, 4, 1, struct.pack(order + "I", height)),
        (279, 4, 1, struct.pack(order + "I", len(data))),
    ]
    tags += [] if extra is None else [(338, 3, 1, struct.pack(order + "H", extra))]
    directory = struct.pack(order + "H", len(tags))
    directory += b"".join(struct.pack(order + "HHI", *tag[:3]) + tag[3].ljust(4, b"\0") for tag in tags)
    start = struct.pack(order + "HI", 42, 8 + len(data) + len(bits))
    return (b"II" if order == "<" else b"MM") + start + data + bits + directory + bytes(4)


def ramp(largest: int, channels: int) -> NDArray[np.uint16]:
    """(6, 50, channels) with every channel another one, from 0 to `largest`; alpha, if any, is opaque."""
    values = np.linspace(0, largest, 300).astype(np.uint16).reshape(6, 50)
    stacked = np.stack([values, values[::-1], values[:, ::-1], values][:channels], axis=2)
    if channels in (2, 4):
        stacked[..., -1] = 65535
    return stacked


def expected(values: NDArray[np.uint16], white: int) -> NDArray[np.int_]:
    colour = values[..., :1] if values.shape[2] < 3 else values[..., :3]
    return np.broadcast_to(np.minimum(colour / white, 1) * 255, (*values.shape[:2], 3)).round().astype(int)


@pytest.mark.parametrize("white", WHITE_LEVELS)
@pytest.mark.parametrize("colour", COLOURS)
def test_white_is_white_in_every_kind_of_png(colour: int, white: int) -> None:
    values = ramp(white, COLOURS[colour])
    found = np.asarray(decode(png(values, colour), white_level=white)).astype(int)
    assert np.abs(found - expected(values, white)).max() <= 1
    assert found.max() == 255


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("photometric", "channels", "extra"), [(1, 1, None), (2, 3, None), (2, 4, 2), (2, 4, 0)])
def test_white_is_white_in_every_kind_of_tiff(photometric: int, channels: int, extra: int | None, order: str) -> None:
    values = ramp(4095, channels)
    content = tiff(values, order, photometric, extra)
    assert np.abs(np.asarray(decode(content, white_level=4095)).astype(int) - expected(values, 4095)).max() <= 1
    assert np.asarray(decode(content)).max() == 16 - (channels > 1)  # of the full range


@pytest.mark.parametrize("white", [4095, FULL_RANGE])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_with_a_plane_for_each_colour(order: str, white: int) -> None:
    values = ramp(white, 3)
    height, width, _ = values.shape
    planes = [values[..., band].astype(order + "u2").tobytes() for band in range(3)]
    behind = 8 + sum(map(len, planes))
    lists = struct.pack(order + "3H", 16, 16, 16) + struct.pack(
        order + "3I", *(8 + each * len(planes[0]) for each in range(3))
    )
    lists += struct.pack(order + "3I", *map(len, planes))
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, behind),
        (259, 4, 1, 1),
        (262, 4, 1, 2),
        (273, 4, 3, behind + 6),
    ]
    tags += [(277, 4, 1, 3), (278, 4, 1, height), (279, 4, 3, behind + 18), (284, 4, 1, 2)]
    directory = (
        struct.pack(order + "H", len(tags)) + b"".join(struct.pack(order + "HHII", *tag) for tag in tags) + bytes(4)
    )
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, behind + len(lists))
    found = np.asarray(decode(start + b"".join(planes) + lists + directory, white_level=white)).astype(int)
    assert np.abs(found - expected(values, white)).max() <= 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_tiff(compression: str) -> None:
    values = ramp(1023, 1)
    file = io.BytesIO()
    Image.fromarray(values[..., 0]).save(file, "TIFF", compression=compression)
    assert np.abs(np.asarray(decode(file.getvalue(), white_level=1023)).astype(int) - expected(values, 1023)).max() <= 1


def test_where_white_is_zero() -> None:
    values = ramp(4095, 1)
    found = np.asarray(decode(tiff(values, "<", 0), white_level=4095)).astype(int)
    assert np.abs(255 - found - expected(values, 4095)).max() <= 1


def test_what_is_brighter_than_white_is_white() -> None:
    assert to_eight_bits(np.array([0, 4095, 4096, 65535], dtype=np.uint16), 4095).tolist() == [0, 255, 255, 255]
    for colour, channels in ((0, 1), (2, 3)):
        assert (
            np.asarray(decode(png(np.full((1, 1, channels), 5000, np.uint16), colour), white_level=4095)).min() == 255
        )


def test_transparency_is_no_light() -> None:
    """Alpha has the full range, whatever the colours' white is."""
    values = np.array([[[4095, 0, 0, 65535], [4095, 0, 0, 32768], [4095, 0, 0, 0]]], dtype=np.uint16)
    found = np.asarray(decode(png(values, 6), white_level=4095)).astype(int)
    assert np.abs(found[0] - [[255, 0, 0], [255, 127, 127], [255, 255, 255]]).max() <= 1


@pytest.mark.parametrize("white", [FULL_RANGE, 4095])
def test_a_transparent_colour_is_compared_with_all_its_bits(white: int) -> None:
    values = np.array([[[0x123, 0x456, 0x789], [0x123, 0x456, 0x788]]], dtype=np.uint16)
    key = struct.pack(">3H", 0x123, 0x456, 0x789)
    found = np.asarray(decode(png(values, 2, (b"tRNS", key)), white_level=white)).astype(int)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.abs(found[0, 1] - expected(values, white)[0, 1]).max() <= 1


@pytest.mark.parametrize("largest", [1, 255, 256, 1000, 1024, 4095, 4096, 16000, 30000, 65535])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_picture_tells_its_own_white(colour: int, largest: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(ramp(largest, COLOURS[colour]), colour))
    assert read_image(path).white_level == white_level_of(largest)
    assert np.asarray(read_image(path).image).max() == (
        to_eight_bits(np.array(largest, np.uint16), white_level_of(largest))
    )


def test_eight_bits_and_twelve_declared_ones_have_no_white_to_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (1, 2, 3)).save(path)
    assert read_image(path).white_level is None
    assert np.array_equal(np.asarray(decode(path, white_level=255)), np.asarray(decode(path)))


def test_preprocessing_reads_by_its_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(np.full((8, 8, 1), 2048, np.uint16), 0))
    plain = Preprocessing(8, 8, 1.0, "bilinear", (0, 0, 0), (1, 1, 1))
    assert plain(path).max() == pytest.approx(8 / 255, abs=1e-6)
    assert Preprocessing(8, 8, 1.0, "bilinear", (0, 0, 0), (1, 1, 1), 4095)(path).max() == pytest.approx(
        128 / 255, abs=1e-6
    )
