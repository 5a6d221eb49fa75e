"""What an audit says about pixels: white in 16-bit pictures, files of several pictures, damage beside the pixels."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.audit import Audit
from pocketvision.data.finding import Finding
from pocketvision.preprocessing import FULL_RANGE
from pocketvision.workflows.check import check


def deep(path: Path, largest: int, seed: int, suffix: str = ".png") -> None:
    """A 16-bit picture whose largest pixel is `largest`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).random((8, 8))
    large = np.asarray(Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)).clip(0)
    Image.fromarray((large / large.max() * largest).round().astype(np.uint16)).save(path.with_suffix(suffix))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of eight 12-bit pictures, PNG and TIFF."""
    for number in range(16):
        deep(tmp_path / "ab"[number % 2] / f"{number}", 4095 - 100 * number, number, (".png", ".tif")[number // 8])
    return tmp_path


def of_kind(audit: Audit, kind: str) -> list[Finding]:
    return [finding for finding in audit.findings if finding.kind == kind]


def test_a_part_of_16_bits_is_reported_once(photos: Path) -> None:
    found = check(photos)
    assert found.inspection.white_level == 4095
    (finding,) = of_kind(found, "part_of_range")
    assert "Of 16 bits a channel 12 are used by 16 images" in finding.message
    assert len(finding.files) == 16
    assert found.counts == {"part_of_range": 1}  # and they are not taken for blank, or for copies


def test_one_bright_picture_sets_the_white_of_all_and_the_others_are_named(photos: Path) -> None:
    deep(photos / "a/bright", 60_000, 99)
    found = check(photos)
    assert found.inspection.white_level == FULL_RANGE
    (finding,) = of_kind(found, "mixed_ranges")
    assert finding.severity == "warning"
    assert len(finding.files) == 16
    assert not of_kind(found, "part_of_range")


def test_a_dark_picture_among_bright_ones_is_no_other_range(photos: Path) -> None:
    deep(photos / "b/dark", 900, 99)
    assert check(photos).counts == {"part_of_range": 1}


def test_pictures_of_8_bits_have_no_part_in_it(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 100, (64, 64, 3), np.uint8)).save(path)
    assert check(tmp_path).inspection.white_level == FULL_RANGE
    assert check(tmp_path).counts == {}


def test_two_pictures_that_differ_in_their_low_bits_are_not_the_same(tmp_path: Path) -> None:
    for number in range(4):
        deep(tmp_path / "ab"[number % 2] / f"{number}", 1000, 7)  # one picture
    with Image.open(tmp_path / "a/0.png") as image:
        Image.fromarray((np.asarray(image) * 16).astype(np.uint16)).save(tmp_path / "a/0.png")
    found = check(tmp_path)
    hashes = [found.content_hashes[index].tobytes() for index in range(4)]
    assert len(set(hashes)) == 2
    assert found.inspection.white_level == 16383


def test_files_of_several_pictures_and_damage_beside_them_are_notes(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8)) for n in range(8)]
    for number, page in enumerate(pages[:4]):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        page.save(path)
    pages[4].save(tmp_path / "a/moving.webp", save_all=True, append_images=pages[5:])
    pages[5].save(tmp_path / "b/pages.tif", save_all=True, append_images=pages[6:])
    content = (tmp_path / "a/0.png").read_bytes()
    text = struct.pack(">I", 5) + b"tEXt" + b"a\0bcd" + b"\0\0\0\0"  # a wrong checksum
    (tmp_path / "a/0.png").write_bytes(content[:33] + text + content[33:])
    found = check(tmp_path)
    assert found.readable.all()
    assert not found.hurts
    (several,) = of_kind(found, "several_pictures")
    assert several.files == ("a/moving.webp", "b/pages.tif")
    assert several.message == "Several pictures (an animation or pages, up to 4) in 2 files: the first one is taken."
    (damaged,) = of_kind(found, "damaged_metadata")
    assert damaged.files == ("a/0.png",)
    assert damaged.message.startswith("Damage beside the pixels (tEXt) in 1 file.")
