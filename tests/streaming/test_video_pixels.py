"""A video's pixels are those that a player shows: matrix and range as tagged, square pixels, upright; and so are written ones."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.streaming.frame import SourceEvents
from pocketvision.streaming.mp4 import fitted, open_mp4
from pocketvision.streaming.video import Video, read_video
from pocketvision.streaming.video_pixels import square_size, upright

av = pytest.importorskip("av")

BT709, BT601, BT2020 = 1, 6, 9
LIMITED, FULL = 1, 2
COLOUR = np.array([200, 40, 90])
# Red, green and blue's shares of brightness (ITU-R BT.709, BT.601, BT.2020).
SHARES = {BT709: (0.2126, 0.7152, 0.0722), BT601: (0.299, 0.587, 0.114), BT2020: (0.2627, 0.678, 0.0593)}


def components(colour: NDArray[Any], matrix: int, colour_range: int) -> list[int]:
    """Y, Cb and Cr of a colour by the standards' own formulas."""
    red, green, blue = colour / 255
    share = SHARES[matrix]
    luma = share[0] * red + share[1] * green + share[2] * blue
    differences = [(blue - luma) / (2 - 2 * share[2]), (red - luma) / (2 - 2 * share[0])]
    if colour_range == FULL:
        return [round(255 * luma), *(round(128 + 255 * each) for each in differences)]
    return [round(16 + 219 * luma), *(round(128 + 224 * each) for each in differences)]


def write(
    path: Path, planes: list[NDArray[np.uint8]], *, tags: tuple[int, int] = (2, 0), aspect: Fraction | None = None
) -> Path:
    """A lossless video of three equal frames of these planes; tags: matrix and range, 2 and 0 for none."""
    height, width = planes[0].shape
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=10, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tags
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.stack(planes), format="yuv444p")
            frame.colorspace, frame.color_range = tags
            frame.pts, frame.time_base = index, Fraction(1, 10)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    return [picture.pixels() for picture in read_video(Video(str(path), path.name), SourceEvents())]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("lines", "tagged", "tagged_range", "matrix", "colour_range"),
    [
        (144, 2, 0, BT601, LIMITED),
        (718, 2, 0, BT601, LIMITED),
        (720, 2, 0, BT709, LIMITED),
        (1080, 2, 0, BT709, LIMITED),
        (144, BT709, LIMITED, BT709, LIMITED),
        (720, BT601, LIMITED, BT601, LIMITED),
        (144, BT2020, LIMITED, BT2020, LIMITED),
        (144, 2, FULL, BT601, FULL),
        (720, 2, FULL, BT709, FULL),
        (720, BT601, FULL, BT601, FULL),
    ],
)
def test_colours_are_as_tagged_and_else_as_players_take_them(
    lines: int, tagged: int, tagged_range: int, matrix: int, colour_range: int, container: str, tmp_path: Path
) -> None:
    planes = [np.full((lines, 64), value, np.uint8) for value in components(COLOUR, matrix, colour_range)]
    found = pictures(write(tmp_path / f"a.{container}", planes, tags=(tagged, tagged_range)))
    assert len(found) == 3
    assert np.abs(found[0].reshape(-1, 3).astype(int) - COLOUR).max() <= 3


@pytest.mark.parametrize(("width", "matrix"), [(1278, BT601), (1280, BT709), (1920, BT709)])
def test_a_wide_picture_of_few_lines_is_hd_when_read_and_written(width: int, matrix: int, tmp_path: Path) -> None:
    planes = [np.full((64, width), value, np.uint8) for value in components(COLOUR, matrix, LIMITED)]
    found = pictures(write(tmp_path / "a.mkv", planes))[0]
    assert np.abs(found.reshape(-1, 3).astype(int) - COLOUR).max() <= 3
    with open_mp4(tmp_path / "a.mp4") as file:
        file.write(found, 0.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert next(container.decode(video=0)).colorspace == matrix


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(2, 1), (128, 48)),
        (Fraction(1, 2), (64, 96)),
        (Fraction(16, 15), (68, 48)),
        (Fraction(8, 9), (64, 54)),
        (None, (64, 48)),
    ],
)
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_pixels_that_are_not_square_are_stretched(
    container: str, aspect: Fraction | None, size: tuple[int, int], tmp_path: Path
) -> None:
    luma = np.full((48, 64), 60, np.uint8)
    luma[:, 32:] = 200  # an edge in the middle stays there
    planes = [luma, np.full((48, 64), 128, np.uint8), np.full((48, 64), 128, np.uint8)]
    (picture, *_) = pictures(write(tmp_path / f"a.{container}", planes, aspect=aspect))
    assert picture.shape == (size[1], size[0], 3)
    middle = size[0] // 2
    assert picture[:, : middle - 3].max() < 100 < 150 < picture[:, middle + 3 :].min()


def test_an_aspect_that_makes_no_sense_is_left_out() -> None:
    assert square_size(1920, 1080, Fraction(5000, 1)) == (1920, 1080)
    assert square_size(1920, 1080, Fraction(1, 5000)) == (1920, 1080)
    assert square_size(1440, 1080, Fraction(4, 3)) == (1920, 1080)
    assert square_size(5, 5, Fraction(0)) == (5, 5)


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


TURNS = {
    "upright": (matrix(1, 0, 0, 1), lambda p: p),
    "a quarter clockwise": (matrix(0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "a half": (matrix(-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "a quarter counterclockwise": (matrix(0, -1, 1, 0), lambda p: np.rot90(p)),
    "mirrored": (matrix(-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": (matrix(1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": (matrix(0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "transposed and turned": (matrix(0, -1, -1, 0), lambda p: np.rot90(p.transpose(1, 0, 2), 2)),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_video_is_shown_as_its_display_matrix_says(name: str, tmp_path: Path) -> None:
    """As ISO/IEC 14496-12, 8.3.2, stores it in a track's header."""
    luma = np.add.outer(np.arange(48) * 2, np.arange(64)).astype(np.uint8) + 30
    planes = [luma, np.full((48, 64), 100, np.uint8), np.full((48, 64), 150, np.uint8)]
    path = write(tmp_path / "a.mp4", planes)
    plain = pictures(path)[0]
    stored, turned = TURNS[name]
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    assert content[place : place + 36] == matrix(1, 0, 0, 1)
    content[place : place + 36] = stored
    path.write_bytes(content)
    assert np.array_equal(pictures(path)[0], turned(plain))


def test_an_angle_in_between_goes_to_the_nearest_quarter() -> None:
    picture = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(upright(picture, struct.pack("=9i", 100, -9, 0, 9, 100, 0, 0, 0, 1)), picture)
    assert upright(picture, struct.pack("=9i", 9, 100, 0, -100, 9, 0, 0, 0, 1)).shape == (3, 2, 3)
    assert np.array_equal(upright(picture, b"short"), picture)


@pytest.mark.parametrize("height", [144, 720])
def test_a_written_mp4_is_tagged_and_keeps_its_colours(height: int, tmp_path: Path) -> None:
    pixels = np.tile(COLOUR.astype(np.uint8), (height, 64, 1))
    with open_mp4(tmp_path / "a.mp4") as file:
        for index in range(3):
            file.write(pixels, index / 10)
    expected = BT709 if height >= 720 else BT601
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (
        expected,
        LIMITED,
        expected,
        expected,
    )
    found = pictures(tmp_path / "a.mp4")[0]
    assert np.abs(found.reshape(-1, 3).astype(int) - COLOUR).mean() < 4


def test_other_sizes_are_fitted_into_a_file_without_distortion() -> None:
    wide = fitted(np.full((10, 40, 3), 200, np.uint8), 40, 30)
    assert wide.shape == (30, 40, 3)
    assert wide[15].min() == 200 and wide[0].max() == wide[29].max() == 0
    odd = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert np.array_equal(fitted(odd, 6, 4), odd[:4, :6])


def test_an_mp4_that_was_never_finished_can_be_played(tmp_path: Path) -> None:
    """As after a power cut: what was written so far holds whole fragments."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with open_mp4(tmp_path / "a.mp4") as file:
        for index in range(120):
            file.write(pixels, index / 10)
        (written,) = tmp_path.glob(".a.mp4*")
        (tmp_path / "cut.mp4").write_bytes(written.read_bytes())
    assert len(pictures(tmp_path / "cut.mp4")) > 50
    assert len(pictures(tmp_path / "a.mp4")) == 120
