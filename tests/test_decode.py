"""decode: every format and mode becomes upright 8-bit RGB, and everything wrong with a file becomes an ImageError."""

import io
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from pocketvision.data.image_files import SUFFIXES
from pocketvision.errors import ImageError
from pocketvision.preprocessing import FORMATS, ImageSource, decode
from pocketvision.printable import printable

LOSSLESS = ("PNG", "BMP", "TIFF")


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    """A smooth picture without any symmetry."""
    across, down = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 120, height))
    return Image.fromarray(np.stack([across + 20, down + 60, across / 2 + down], axis=2).astype(np.uint8))


def pixels(source: ImageSource) -> NDArray[np.int_]:
    image = decode(source)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_format(suffix: str, tmp_path: Path) -> None:
    format = SUFFIXES[suffix]
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image = gradient()
    path = tmp_path / f"image{suffix}"
    image.save(path, format=format)
    difference = np.abs(pixels(path) - np.asarray(image))
    assert difference.max() == 0 if format in LOSSLESS else difference.mean() < 6
    assert np.array_equal(pixels(path), pixels(path.read_bytes()))
    assert np.array_equal(pixels(path), pixels(str(path)))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, format: str, tmp_path: Path) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image"
    gradient().save(path, format=format, exif=exif)
    with Image.open(path) as file:
        expected = ImageOps.exif_transpose(file)
    decoded = decode(path)
    assert decoded.size == ((40, 24) if orientation < 5 else (24, 40))
    assert np.array_equal(np.asarray(decoded), np.asarray(expected.convert("RGB")))
    assert np.array_equal(pixels(decoded), np.asarray(decoded)), "an upright image must not be turned again"


def test_jpeg_grey_and_cmyk(tmp_path: Path) -> None:
    grey = gradient().convert("L")
    assert np.abs(pixels(saved(grey, tmp_path / "grey.jpg", quality=95)) - np.asarray(grey)[..., None]).max() <= 6
    cmyk = gradient().convert("CMYK")
    path = saved(cmyk, tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(pixels(path) - np.asarray(gradient())).mean() < 4


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((3, 1), 1)
    assert pixels(saved(image, tmp_path / "a.png"))[1, 3].tolist() == [200, 100, 50]
    for name in ("b.png", "b.gif"):
        found = pixels(saved(image, tmp_path / name, transparency=0))
        assert found[0, 0].tolist() == [255, 255, 255]
        assert found[1, 3].tolist() == [200, 100, 50]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_alpha_is_composed_on_white(name: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (100, 0, 50, 0))
    image.putpixel((1, 0), (100, 0, 50, 128))
    found = pixels(
        saved(image, tmp_path / name, lossless=True) if name.endswith("webp") else saved(image, tmp_path / name)
    )
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.abs(found[0, 1] - [177, 127, 152]).max() <= 1


def test_grey_with_alpha_and_transparent_grey(tmp_path: Path) -> None:
    image = Image.new("LA", (2, 1), (80, 255))
    image.putpixel((1, 0), (80, 0))
    assert pixels(saved(image, tmp_path / "la.png")).tolist() == [[[80] * 3, [255] * 3]]
    keyed = Image.new("L", (2, 1), 80)
    keyed.putpixel((1, 0), 90)
    assert pixels(saved(keyed, tmp_path / "key.png", transparency=90)).tolist() == [[[80] * 3, [255] * 3]]


def test_one_bit(tmp_path: Path) -> None:
    image = Image.new("1", (9, 1), 1)
    image.putpixel((8, 0), 0)
    for name in ("one.png", "one.tif", "one.bmp"):
        assert pixels(saved(image, tmp_path / name))[0, :, 0].tolist() == [255] * 8 + [0]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(name: str, tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 255, 256, 32768, 65407, 65535]], dtype=np.uint16)
    path = saved(Image.fromarray(values), tmp_path / name)
    with Image.open(path) as file:
        assert file.mode.startswith("I;16")
    assert pixels(path)[0, :, 1].tolist() == [0, 0, 1, 1, 1, 128, 255, 255]


def test_sixteen_bit_tiff_where_white_is_zero(tmp_path: Path) -> None:
    values = np.array([[0, 65535]], dtype=np.uint16)
    path = saved(Image.fromarray(values), tmp_path / "a.tif", tiffinfo={262: 0})
    assert pixels(path)[0, :, 0].tolist() == [255, 0]


def test_sixteen_bit_rgb_tiff_and_png() -> None:
    values = np.array([[[0, 32896, 65535], [257, 514, 60000]]], dtype=">u2")
    assert np.abs(pixels(sixteen_bit_png(values)) - values.astype(int) / 257).max() <= 1
    assert np.abs(pixels(sixteen_bit_tiff(values)) - values.astype(int) / 257).max() <= 1


def png(width: int, height: int, depth: int, colour: int, raw: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def sixteen_bit_png(values: NDArray[np.uint16]) -> bytes:
    height, width, _ = values.shape
    return png(width, height, 16, 2, b"".join(b"\0" + row.tobytes() for row in values))


def sixteen_bit_tiff(values: NDArray[np.uint16]) -> bytes:
    """An uncompressed big-endian TIFF of one strip, written by hand: Pillow writes no 16-bit colour."""
    height, width, _ = values.shape
    data = values.tobytes()
    bits = 8 + len(data)
    entries = [
        (256, 4, 1, struct.pack(">I", width)),
        (257, 4, 1, struct.pack(">I", height)),
        (258, 3, 3, struct.pack(">I", bits)),
        (259, 3, 1, struct.pack(">HH", 1, 0)),
        (262, 3, 1, struct.pack(">HH", 2, 0)),
        (273, 4, 1, struct.pack(">I", 8)),
        (277, 3, 1, struct.pack(">HH", 3, 0)),
        (278, 4, 1, struct.pack(">I", height)),
        (279, 4, 1, struct.pack(">I", len(data))),
    ]
    directory = struct.pack(">H", len(entries))
    directory += b"".join(struct.pack(">HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    start = bits + 6
    return b"MM\0*" + struct.pack(">I", start) + data + struct.pack(">HHH", 16, 16, 16) + directory + b"\0\0\0\0"


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    file = io.BytesIO()
    frames[0].save(file, format=format, save_all=True, append_images=frames[1:])
    assert np.abs(pixels(file.getvalue()) - [250, 0, 0]).max() <= 6


def test_photos_of_phones_with_a_second_picture_inside() -> None:
    file = io.BytesIO()
    gradient().save(file, format="MPO", save_all=True, append_images=[Image.new("RGB", (40, 24))])
    assert np.abs(pixels(file.getvalue()) - np.asarray(gradient())).mean() < 3


@pytest.mark.parametrize(
    "name", ["강아지 사진.PNG", "two words.png", "😀🙃.png", "%20#?&.png", "no suffix", "wrong.jpg"]
)
def test_file_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    gradient().save(path, format="PNG")
    assert np.array_equal(pixels(path), np.asarray(gradient()))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_links(tmp_path: Path) -> None:
    saved(gradient(), tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    (tmp_path / "broken.png").symlink_to("nowhere.png")
    assert np.array_equal(pixels(tmp_path / "link.png"), np.asarray(gradient()))
    with pytest.raises(ImageError, match="there is no such file"):
        decode(tmp_path / "broken.png")


def test_arrays_and_pillow_images() -> None:
    colour = np.asarray(gradient())
    assert np.array_equal(pixels(colour), colour)
    assert np.array_equal(pixels(gradient()), colour)
    assert np.array_equal(pixels(colour[..., 0])[..., 2], colour[..., 0])
    clear = np.dstack([colour, np.zeros(colour.shape[:2], dtype=np.uint8)])
    assert (pixels(clear) == 255).all()
    with pytest.raises(ImageError, match=r"float64 with shape \(2, 2, 3\)"):
        decode(np.zeros((2, 2, 3)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int is not an image"):
        decode(7)  # type: ignore[arg-type]


def test_a_lazy_pillow_image_of_the_caller_is_not_changed(tmp_path: Path) -> None:
    with Image.open(saved(gradient(800, 600), tmp_path / "a.jpg")) as image:
        assert decode(image, shortest_side=32).size == (800, 600)
        assert image.size == (800, 600)


@pytest.mark.parametrize(
    ("size", "shortest_side", "expected"),
    [((1000, 750), 128, (500, 375)), ((640, 480), 256, (640, 480)), ((1200, 900), 64, (300, 225))],
)
def test_jpeg_is_decoded_small_but_at_no_less_than_twice_what_is_needed(
    size: tuple[int, int], shortest_side: int, expected: tuple[int, int]
) -> None:
    file = io.BytesIO()
    gradient(*size).save(file, format="JPEG")
    small = decode(file.getvalue(), shortest_side=shortest_side)
    assert small.size == expected
    assert min(small.size) >= min(2 * shortest_side, min(size))
    whole = gradient(*size).resize(expected)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(whole)).mean() < 2


def test_the_allow_list() -> None:
    file = io.BytesIO()
    gradient().save(file, format="GIF")
    with pytest.raises(ImageError, match=r"GIF is not among the allowed formats \(JPEG, PNG\)"):
        decode(file.getvalue(), formats=("JPEG", "PNG"))
    assert set(SUFFIXES.values()) == set(FORMATS)


# What is wrong with a file


def refused(source: ImageSource, reason: str, **options: int) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode(source, **options)
    if isinstance(source, str | Path):
        assert printable(source) in str(caught.value)
        assert str(source) not in caught.value.reason


def test_missing_empty_folder_and_text(tmp_path: Path) -> None:
    refused(tmp_path / "no.jpg", "there is no such file")
    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "the file is empty")
    refused(tmp_path, "it is a folder, not an image file")
    (tmp_path / "text.jpg").write_text("these are words, not pixels")
    refused(tmp_path / "text.jpg", "not an image of a known format")
    refused(b"", "the file is empty")
    refused("a\0b.jpg", "can not be opened")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_truncated(format: str, share: float, tmp_path: Path) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    rng = np.random.default_rng(0)
    path = tmp_path / "cut"
    Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(path, format=format)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "truncated|damaged")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "not a regular file")


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = png(60_000, 60_000, 8, 2, bytes(100))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(bomb, r"60000 x 60000 pixels are more than the limit of 50,000,000")


def test_a_webp_of_too_many_pixels_is_refused_before_its_reader_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setitem(Image.OPEN, "WEBP", (opened, Image.OPEN["WEBP"][1]))
    canvas = b"VP8X" + struct.pack("<II", 10, 0x10) + (16382).to_bytes(3, "little") * 2
    refused(
        b"RIFF" + struct.pack("<I", len(canvas) + 4) + b"WEBP" + canvas, "16383 x 16383 pixels are more than the limit"
    )
    lossless = b"VP8L" + struct.pack("<I", 5) + b"\x2f" + (16382 | 16382 << 14).to_bytes(4, "little") + bytes(10)
    refused(b"RIFF" + struct.pack("<I", len(lossless) + 4) + b"WEBP" + lossless, "16383 x 16383 pixels")
    lossy = b"VP8 " + struct.pack("<I", 20) + b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383) + bytes(10)
    refused(b"RIFF" + struct.pack("<I", len(lossy) + 4) + b"WEBP" + lossy, "16383 x 16383 pixels")


def test_the_limit_is_ours_alone_and_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow would warn above 10 pixels and refuse above 20
    file = io.BytesIO()
    gradient(30, 20).save(file, format="PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(file.getvalue(), max_pixels=600).size == (30, 20)
    refused(file.getvalue(), "30 x 20 pixels", max_pixels=599)
    refused(gradient(30, 20), "30 x 20 pixels", max_pixels=599)


def test_pixels_without_a_white_level() -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(file, format="TIFF")
    refused(file.getvalue(), "white is not defined")


def test_a_damaged_exif_block_does_not_cost_the_image() -> None:
    file = io.BytesIO()
    gradient().save(file, format="JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert pixels(file.getvalue()).shape == (24, 40, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise on Windows")
def test_no_permission(reachable: Path) -> None:
    """In a child that drops its user id: the test may run as root, who reads everything."""
    path = saved(gradient(), reachable / "secret.png")
    path.chmod(0)
    script = (
        "import os, sys\n"
        "from pocketvision.preprocessing import decode\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: decode(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error.reason)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=environment, check=True
    )
    assert child.stdout.strip() == "ImageError no permission to read it"


def test_many_threads_at_once(tmp_path: Path) -> None:
    paths = [saved(gradient(60 + index, 50), tmp_path / f"{index}.png") for index in range(8)]
    (tmp_path / "bad.png").write_bytes(paths[0].read_bytes()[:200])
    barrier = threading.Barrier(8)

    def read(index: int) -> bool:
        barrier.wait()
        for _ in range(20):
            if decode(paths[index]).size != (60 + index, 50):
                return False
            with pytest.raises(ImageError):
                decode(tmp_path / "bad.png")
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


@pytest.mark.parametrize("brands", [b"heic", b"heix\0\0\0\0mif1", b"mif1\0\0\0\0mif1heic", b"msf1\0\0\0\0msf1miafhevc"])
def test_heic_is_named_whichever_brand_comes_first(brands: bytes) -> None:
    with pytest.raises(ImageError, match="HEIC picture"):
        decode(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(64))


def test_a_video_is_no_heic_picture() -> None:
    with pytest.raises(ImageError, match="it is a video"):
        decode(b"\0\0\0\x18ftypisom" + bytes(64))
