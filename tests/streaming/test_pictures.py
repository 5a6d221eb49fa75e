"""A single picture as the source of a stream, and transparency and foreign side data of video frames."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pocketvision.errors import SourceError
from pocketvision.preprocessing import decode
from pocketvision.streaming.frame import Pixels, SourceEvents
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.sources import find_source

GRADIENT = np.stack(np.meshgrid(np.arange(60) * 4, np.arange(40) * 6, indexing="xy"), axis=2).astype(np.uint8)
PICTURE = Image.fromarray(np.concatenate([GRADIENT, GRADIENT[..., :1] // 2], axis=2))
CLEAR = Image.new("RGBA", (16, 12), (200, 40, 90, 0))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def frames(source: Path, white_level: int = 65535) -> tuple[str, list[Pixels], list[str]]:
    name, kind = find_source(str(source))
    notes: list[str] = []
    read = kind.read(str(source), SourceSettings(white_level=white_level), SourceEvents(note=notes.append))
    return name, [frame.pixels() for frame in read], notes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(orientation: int, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.jpg", exif=turned(orientation))
    name, pixels, _ = frames(tmp_path / "a.jpg")
    assert (name, len(pixels)) == ("picture", 1)
    assert np.array_equal(pixels[0], np.asarray(decode(tmp_path / "a.jpg")))


def test_white_of_a_picture_is_as_the_bundle_has_it(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 2048, np.uint16)).save(tmp_path / "a.png")
    assert frames(tmp_path / "a.png", white_level=4095)[1][0].max() == 128


def test_of_a_picture_that_video_libraries_do_not_play_the_first_is_taken_and_that_is_said(tmp_path: Path) -> None:
    more = [Image.new("RGB", (16, 12), color) for color in ("blue", "green")]
    for name in ("a.webp", "a.tiff"):
        Image.new("RGB", (16, 12), "red").save(tmp_path / name, save_all=True, append_images=more)
        kind, pixels, notes = frames(tmp_path / name)
        assert (kind, len(pixels), len(notes)) == ("picture", 1, 1)
        assert pixels[0][0, 0, 0] > 240


def test_a_picture_that_can_not_be_read_ends_the_stream(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.bmp").read_bytes()[:500])
    with pytest.raises(SourceError, match=r"a\.bmp: the file is truncated"):
        frames(tmp_path / "a.bmp")


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_transparent_video_is_composed_on_white(name: str, tmp_path: Path) -> None:
    other = CLEAR.copy()
    other.putpixel((0, 0), (10, 20, 30, 255))
    CLEAR.save(tmp_path / name, save_all=True, append_images=[other], duration=100)
    kind, pixels, _ = frames(tmp_path / name)
    assert (kind, len(pixels)) == ("video file", 2)
    assert pixels[0].min() == 255


def test_half_transparent_frames_are_composed_on_white(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 12, "bgra"  # type: ignore[attr-defined]
        half = np.full((12, 16, 4), (200, 40, 90, 128), np.uint8)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(half, format="rgba")))  # type: ignore[attr-defined]
        file.mux(stream.encode(None))  # type: ignore[attr-defined]
    assert np.abs(frames(tmp_path / "a.mkv")[1][0][5, 5].astype(int) - (227, 147, 172)).max() <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_side_data_without_a_name_does_not_end_a_stream(orientation: int, tmp_path: Path) -> None:
    """EXIF in MJPEG: PyAV has no name for it, and gives none of a frame's side data."""
    PICTURE.save(tmp_path / "a.jpg", exif=turned(orientation))
    (tmp_path / "a.mjpeg").write_bytes(2 * (tmp_path / "a.jpg").read_bytes())
    kind, pixels, _ = frames(tmp_path / "a.mjpeg")
    assert (kind, len(pixels)) == ("video file", 2)
    expected = np.asarray(decode(tmp_path / "a.jpg"), np.int16)
    assert pixels[0].shape == expected.shape
    assert np.abs(pixels[0] - expected).mean() < 4
