"""What is a picture, what is left out, and that every verb goes by the same rule."""

import os
import struct
from pathlib import Path

import pytest
from PIL import Image

from pocketvision.data.find_images import find_images
from pocketvision.data.image_files import SUFFIXES, is_skipped_folder, why_left_out
from pocketvision.data.left_out import REASONS
from pocketvision.data.signatures import HEAD_BYTES, format_of
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import ImageError, UsageError
from pocketvision.preprocessing import FORMATS, decode
from pocketvision.streaming.frame import SourceEvents
from pocketvision.streaming.image_frames import read_images
from pocketvision.streaming.source_settings import SourceSettings

PICTURE = Image.new("RGB", (24, 24), (10, 200, 30))


def heic(brand: bytes = b"heic", *more: bytes) -> bytes:
    brands = b"".join(more)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + brand + b"\0\0\0\0" + brands + bytes(64)


def write(path: Path, format: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.save(path, format=format)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_without_a_suffix_is_recognised_by_its_content(tmp_path: Path, format: str) -> None:
    for name in ("no_suffix", "photo.jpg_large", "image.jpg?width=640", "IMG 0001.bak"):
        file = write(tmp_path / name, format)
        assert why_left_out(file) is None and decode(file).size == (24, 24)
        assert format_of(file.read_bytes()[:HEAD_BYTES]) == format


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_of_the_table_is_read(tmp_path: Path, suffix: str) -> None:
    assert decode(write(tmp_path / f"x{suffix.upper()}", SUFFIXES[suffix])).size == (24, 24)
    assert why_left_out(tmp_path / f"x{suffix.upper()}") is None


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("phone.HEIC", heic(), "heic"),
        ("phone.heif", b"", "heic"),
        ("no_suffix", heic(b"mif1", b"mif1", b"heic"), "heic"),
        ("renamed.dat", heic(b"msf1"), "heic"),
        ("raw.CR2", b"II*\0" + bytes(60), "other_format"),
        ("drawing.svg", b"<svg/>", "other_format"),
        ("old.tga", bytes(64), "other_format"),
        ("notes.txt", b"\xff\xd8\xff", "not_an_image"),
        ("README", b"BM is not a bitmap here, it is text of some length", "not_an_image"),
        ("P6 notes", b"P6 players and their numbers", "not_an_image"),
        ("half.jpg.part", b"\xff\xd8\xff", "unfinished"),
        ("Thumbs.db", b"", "hidden"),
        ("._photo.jpg", b"\xff\xd8\xff", "hidden"),
    ],
)
def test_what_is_left_out_and_why(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert why_left_out(tmp_path / name) == reason and reason in REASONS


def test_a_picture_under_a_suffix_of_another_kind_is_still_one(tmp_path: Path) -> None:
    for name in ("was_jpeg.heic", "was_jpeg.jp2", "was_jpeg.ico"):
        assert why_left_out(write(tmp_path / name, "JPEG")) is None
    (tmp_path / "x").write_bytes(heic(b"mif1", b"avif"))
    assert format_of((tmp_path / "x").read_bytes()) == "AVIF"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_without_a_suffix_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert why_left_out(tmp_path / "pipe") == "not_an_image"


def test_a_heic_picture_under_another_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(heic())
    with pytest.raises(ImageError, match=r"HEIC.*convert it to JPEG"):
        decode(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    "name", ["$RECYCLE.BIN", "@eaDir", "System Volume Information", ".ipynb_checkpoints", "lost+found"]
)
def test_folders_of_systems_are_passed_over(name: str) -> None:
    assert is_skipped_folder(name) and is_skipped_folder(name.upper())


def test_check_predict_and_stream_see_the_same_pictures(tmp_path: Path) -> None:
    for name in ("a/1.jpe", "a/two", "a/3.ppm", "b/4.png"):
        write(tmp_path / name, {".jpe": "JPEG", ".ppm": "PPM"}.get(Path(name).suffix, "PNG"))
    for name in ("@eaDir/x.png", "$RECYCLE.BIN/y.png", "a/@eaDir/z.png", ".hidden/h.png", "a/.h.png"):
        write(tmp_path / name, "PNG")
    (tmp_path / "a/phone.heic").write_bytes(heic())
    expected = ["a/1.jpe", "a/3.ppm", "a/two", "b/4.png"]
    assert list(read_samples(tmp_path).paths) == expected
    assert [path.relative_to(tmp_path).as_posix() for path in find_images([tmp_path])] == expected
    globbed = find_images([str(tmp_path / "**" / "*")])
    assert [path.relative_to(tmp_path).as_posix() for path in globbed] == expected
    notes: list[str] = []
    frames = read_images(tmp_path / "a", SourceSettings(), SourceEvents(note=notes.append))
    assert [Path(frame.name).name for frame in frames] == ["1.jpe", "3.ppm", "two"]
    assert "HEIC" in notes[0] and "'phone.heic'" in notes[0]
    assert [path.name for path in find_images([str(tmp_path / "a/@eaDir/*.png")])] == ["z.png"], "named in full"


def test_a_place_without_pictures_says_what_is_there_instead(tmp_path: Path) -> None:
    (tmp_path / "phone.heic").write_bytes(heic())
    for look in (
        lambda: list(find_images([tmp_path])),
        lambda: list(read_images(tmp_path, SourceSettings(), SourceEvents())),
    ):
        with pytest.raises(UsageError, match=r"no image in this folder.*HEIC pictures.*phone\.heic.*Convert them"):
            look()
