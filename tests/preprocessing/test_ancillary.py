"""What stands beside the pixels never decides whether a picture is sound; what is damaged in the pixels' own parts still does."""

import io
import re
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pocketvision.bundle import Bundle
from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode, read_image

SIZE = (40, 24)


def gradient() -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 200, SIZE[0]), np.linspace(0, 120, SIZE[1]))
    return Image.fromarray(np.stack([across + 20, down + 60, across / 2 + down], axis=2).astype(np.uint8))


def saved(format: str, **options: object) -> bytes:
    file = io.BytesIO()
    gradient().save(file, format, **options)  # type: ignore[arg-type]
    return file.getvalue()


def chunk(kind: bytes, data: bytes, damage: int = 0) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ damage)


def png_with(*chunks: bytes, behind: bool = False) -> bytes:
    """The gradient with chunks before or behind its pixels."""
    plain = saved("PNG")
    place = len(plain) - 12 if behind else 33
    return plain[:place] + b"".join(chunks) + plain[place:]


def orientation(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif.tobytes()[6:]


BODIES = {
    b"tEXt": b"Comment\0some words",
    b"zTXt": b"Comment\0\0" + zlib.compress(b"some words"),
    b"iTXt": b"Comment\0\0\0\0\0some words",
    b"gAMA": struct.pack(">I", 45455),
    b"pHYs": struct.pack(">IIB", 2835, 2835, 1),
    b"tIME": struct.pack(">HBBBBB", 2026, 11, 29, 12, 0, 0),
    b"cHRM": struct.pack(">8I", *range(8)),
    b"sRGB": b"\0",
    b"bKGD": struct.pack(">3H", 0, 0, 0),
    b"eXIf": orientation(1),
    b"iCCP": b"sRGB\0\0" + zlib.compress(bytes(300)),
    b"prVt": b"a private chunk",
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", BODIES)
def test_a_png_with_a_wrong_checksum_beside_its_pixels(kind: bytes, behind: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_with(chunk(kind, BODIES[kind], damage=1), behind=behind))
    assert np.array_equal(np.asarray(decode(path)), np.asarray(gradient()))
    assert np.array_equal(np.asarray(decode(path.read_bytes())), np.asarray(gradient()))
    assert read_image(path).damage == (kind.decode(),)
    path.write_bytes(png_with(chunk(kind, BODIES[kind]), behind=behind))
    assert read_image(path).damage == ()


@pytest.mark.parametrize("kind", [b"tIME", b"gAMA", b"pHYs", b"cHRM", b"sRGB", b"iTXt", b"iCCP", b"zTXt", b"tEXt"])
def test_a_png_with_a_chunk_that_is_too_short(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_with(chunk(kind, b"" if kind == b"sRGB" else b"x")))
    found = read_image(path)
    assert np.array_equal(np.asarray(found.image), np.asarray(gradient()))
    assert found.damage == (kind.decode(),)


def test_a_png_whose_text_has_a_wrong_length_field(tmp_path: Path) -> None:
    text = bytearray(chunk(b"tEXt", b"Comment\0" + b"words " * 10))
    text[3] -= 7
    path = tmp_path / "a.png"
    path.write_bytes(png_with(bytes(text)))
    assert np.array_equal(np.asarray(read_image(path).image), np.asarray(gradient()))
    text[2] += 200  # beyond the end of the file
    path.write_bytes(png_with(bytes(text)))
    assert np.array_equal(np.asarray(decode(path)), np.asarray(gradient()))


def test_long_texts_and_large_profiles_are_no_damage(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    for place in range(3):
        notes.add_itxt(f"note {place}", "words " * 400_000, zip=True)
    for name, options in (("text", {"pnginfo": notes}), ("profile", {"icc_profile": bytes(2_500_000)})):
        path = tmp_path / f"{name}.png"
        path.write_bytes(saved("PNG", **options))
        found = read_image(path)
        assert np.array_equal(np.asarray(found.image), np.asarray(gradient()))
        assert found.damage == ()


def test_what_the_pixels_need_is_kept() -> None:
    """A turned picture with a palette and transparency stays so when a chunk beside them is damaged."""
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((3, 1), 1)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(file, "PNG", transparency=b"\0\x80", exif=exif)
    content = file.getvalue()
    content = content[:33] + chunk(b"gAMA", b"\0") + content[33:]
    found = np.asarray(decode(content))
    assert np.array_equal(found, np.asarray(decode(file.getvalue())))
    assert found.shape == (4, 2, 3)
    assert found[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_damage_in_the_chunks_of_the_pixels_is_an_error(kind: bytes) -> None:
    file = io.BytesIO()
    gradient().quantize(8).save(file, "PNG")
    content = bytearray(file.getvalue())
    place = content.index(kind) + 4
    if kind == b"IDAT":
        content[place + 6] ^= 0xFF
    else:
        content[place + int.from_bytes(content[place - 8 : place - 4], "big")] ^= 1
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        decode(bytes(content))
    with_text = bytes(content[:33]) + chunk(b"gAMA", b"\0") + bytes(content[33:])
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        decode(with_text)


def test_a_bomb_beside_the_pixels_costs_no_memory(tmp_path: Path) -> None:
    """80 MB of text in 80 kB: it is never unpacked as a whole, and the picture is read."""
    import tracemalloc

    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))
    path = tmp_path / "a.png"
    path.write_bytes(png_with(bomb))
    tracemalloc.start()
    try:
        assert decode(path).size == SIZE
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


JPEG_SEGMENTS = {
    "JFIF too short": segment(0xE0, b"JFIF\0\1"),
    "profile too short": segment(0xE2, b"ICC_PROFILE\0"),
    "Adobe too short": segment(0xEE, b"Adobe"),
    "Photoshop": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\xff"),
    "EXIF": segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff\xff"),
    "comment": segment(0xFE, b"\xff\x00\xfe"),
    "FlashPix": segment(0xE2, b"FPXR\0"),
    "length of 0": b"\xff\xe5\0\0",
}


@pytest.mark.parametrize("name", JPEG_SEGMENTS)
def test_a_jpeg_with_a_broken_segment(name: str) -> None:
    plain = saved("JPEG", quality=95)
    for extra in (b"", segment(0xEE, b"Adobe")):  # on its own, and beside another one
        content = plain[:2] + JPEG_SEGMENTS[name] + extra + plain[2:]
        assert np.array_equal(np.asarray(decode(content)), np.asarray(decode(plain)))
        assert np.array_equal(
            np.asarray(decode(plain[:20] + extra + JPEG_SEGMENTS[name] + plain[20:])), np.asarray(decode(plain))
        )


def test_the_command_line_says_nothing_of_odd_metadata(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Pillow's warnings name a line of its own code."""
    (tmp_path / "a.jpg").write_bytes(saved("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff rubbish"))
    command = [sys.executable, "-m", "pocketvision", "predict", str(tiny_bundle.folder), "a.jpg"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout.partition("\t")[0], done.stderr) == (0, "a.jpg", "")


def test_a_turned_jpeg_stays_turned_beside_a_broken_segment() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    plain = saved("JPEG", exif=exif)
    broken = plain[:2] + JPEG_SEGMENTS["profile too short"] + plain[2:]
    assert decode(broken).size == (24, 40)
    assert np.array_equal(np.asarray(decode(broken)), np.asarray(decode(plain)))


def test_a_jpeg_in_cmyk_keeps_its_transform_beside_a_broken_segment() -> None:
    file = io.BytesIO()
    gradient().convert("CMYK").save(file, "JPEG", quality=95)
    plain = file.getvalue()
    broken = plain[:2] + JPEG_SEGMENTS["profile too short"] + plain[2:]
    assert np.abs(np.asarray(decode(broken)).astype(int) - np.asarray(gradient())).mean() < 4


def webp(chunks: list[tuple[bytes, bytes]], lengths: dict[bytes, int] | None = None) -> bytes:
    body = b"WEBP"
    for kind, data in chunks:
        length = (lengths or {}).get(kind, len(data))
        body += kind + struct.pack("<I", length) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_webp_with_broken_metadata() -> None:
    plain = saved("WEBP", lossless=True)
    pixels = [(plain[12:16], plain[20:])]
    flags = struct.pack("<I", 0x28) + (SIZE[0] - 1).to_bytes(3, "little") + (SIZE[1] - 1).to_bytes(3, "little")
    chunks = [(b"VP8X", flags), (b"ICCP", b"no profile"), *pixels, (b"EXIF", b"rubbish")]
    for lengths in ({}, {b"EXIF": 10_000_000}, {b"ICCP": 0x7FFFFFF0}):
        assert np.array_equal(np.asarray(decode(webp(chunks, lengths))), np.asarray(gradient()))


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_a_tiff_with_odd_tags(order: str, big: bool) -> None:
    pixels = np.asarray(gradient()).tobytes()
    tags = [
        (256, 3, 1, struct.pack(order + "H", SIZE[0])),
        (257, 3, 1, struct.pack(order + "H", SIZE[1])),
        (258, 3, 1, struct.pack(order + "H", 8)),
        (259, 3, 1, struct.pack(order + "H", 1)),
        (262, 3, 1, struct.pack(order + "H", 2)),
        (273, 4, 1, struct.pack(order + "I", 16)),
        (277, 3, 1, struct.pack(order + "H", 3)),
        (279, 4, 1, struct.pack(order + "I", len(pixels))),
        (282, 2, 3, b"ab\0"),  # the resolution as text
        (283, 2, 3, b"cd\0"),
        (296, 3, 1, struct.pack(order + "H", 3)),
        (34675, 7, 0x7FFFFFFF, struct.pack(order + "I", 0x7FFFFFFF)),  # a profile beyond the end of the file
        (50000, 99, 1, b"????"),  # of no known type
    ]
    size, count = ("Q", "Q") if big else ("H", "I")
    width = 8 if big else 4
    entries = b"".join(
        struct.pack(order + "HH" + count, tag, kind, number) + value.ljust(width, b"\0")
        for tag, kind, number, value in tags
    )
    start = 16 + len(pixels)
    magic = (b"MM" if order == ">" else b"II") + struct.pack(order + "H", 43 if big else 42)
    head = magic + (
        struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start).ljust(12, b"\0")
    )
    content = head + pixels + struct.pack(order + size, len(tags)) + entries + bytes(width)
    assert np.array_equal(np.asarray(decode(content)), np.asarray(gradient()))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_damaged_file_of_any_kind_is_an_error_and_nothing_else(format: str) -> None:
    """Bytes at random places, cut anywhere: an image or an ImageError, never another error, and never for long."""
    plain = saved(format)
    generator = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(plain)
        for place in generator.integers(0, len(plain), 4):
            content[place] = generator.integers(0, 256)
        content = content[: generator.integers(len(plain) // 2, len(plain) + 1)]
        with suppress(ImageError):
            assert decode(bytes(content), max_pixels=100_000).mode == "RGB"


@pytest.fixture(autouse=True)
def quiet(recwarn: pytest.WarningsRecorder) -> Callable[[], None]:
    """Pillow warns of odd TIFF tags and EXIF; that is not what is tested."""
    return recwarn.clear


@pytest.mark.parametrize(
    "content",
    [
        b"II*\0",
        b"II*\0\x08\0\0\0\x05",
        b"MM\0*\0\xff\xff\xff\0\x05" + b"\0" * 20,
        b"II\x2b\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 40) + b"\0" * 40,  # so many entries of a directory
        b"RIFF\x04\0\0\0WEBPVP8X",
        b"RIFF\xff\0\0\0WEBPVP8X\0\0\0\0VP8X\0\0\0\0",
        b"\xff\xd8\xff\xe0",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_file_that_can_not_be_followed_is_refused_at_once_with_the_first_error(content: bytes) -> None:
    with pytest.raises(ImageError, match=r"damaged|truncated") as raised:
        decode(content)
    assert not re.search("unpack_from requires|index out of range", str(raised.value))


MANY = 1_000_000
BAD_HEAD = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))


@pytest.mark.parametrize(
    "content",
    [
        BAD_HEAD + b"\0\0\0\x09tIMExxxxxx" + b"IDAT" * (MANY // 4),
        BAD_HEAD + (b"\xff\xff\xff\xfftEXt" + chunk(b"IDAT", b"")) * (MANY // 20),
        b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0" * 10 + b"ANMF\xff\xff\xff\xff" * (MANY // 8),
        b"\xff\xd8\xff\xe0\0\x04xx" + b"\xff\0" * (MANY // 2),
        b"\xff\xd8\xff\xe0\0\x04xx" + b"\xff\xe2\0\2" * (MANY // 4),
    ],
    ids=["names", "lengths", "webp", "filling", "segments"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_hostile_file_is_not_followed_for_long(content: bytes) -> None:
    started = time.process_time()
    with pytest.raises(ImageError):
        decode(content)
    assert time.process_time() - started < 5
