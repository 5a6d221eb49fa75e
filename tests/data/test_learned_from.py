"""What a bundle knows of the images that it learned from: the same pixels, nearly the same picture, another one."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from golden_pictures import write_pictures
from PIL import Image, ImageEnhance

from pocketvision.data.learned_from import (
    NEAR,
    SAME,
    UNSEEN,
    LearnedFrom,
    fingerprints_of,
    learned_from,
    looked_up,
    read_learned_from,
)
from pocketvision.data.perceptual import BYTES, LENGTH, distances, hashed
from pocketvision.errors import BundleError

TRAIN, VAL, TEST = 0, 1, 2


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures") / "all"
    write_pictures(folder)
    return sorted(folder.glob("*/*.png"))


@pytest.fixture(scope="module")
def known(files: list[Path]) -> LearnedFrom:
    """The first 20 learned from, five selected by, five for testing."""
    content, numbers, unreadable = fingerprints_of(files)
    assert not unreadable
    splits = np.repeat([TRAIN, VAL, TEST], [20, 5, 5]).astype(np.int8)
    return learned_from(content, numbers, splits, np.arange(len(files)))


def test_the_same_pixels_are_known_whatever_file_holds_them(
    known: LearnedFrom, files: list[Path], tmp_path: Path
) -> None:
    copies = []
    for place in (0, 22, 27):
        copies.append(tmp_path / f"{place}.bmp")
        Image.open(files[place]).save(copies[-1])
    found, _ = looked_up(known, copies)
    assert found.kinds.tolist() == [SAME, SAME, UNSEEN]  # a test image was not learned from
    assert found.splits.tolist() == [TRAIN, VAL, TEST]


def encoded(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return Image.open(file).convert("RGB")


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded": encoded,
    "larger": lambda image: image.resize((90, 90), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.04),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nearly_the_same_picture_is_known(known: LearnedFrom, files: list[Path], tmp_path: Path, change: str) -> None:
    places = [0, 7, 14, 21]
    copies = [tmp_path / f"{place}.png" for place in places]
    for place, copy in zip(places, copies, strict=True):
        CHANGES[change](Image.open(files[place]).convert("RGB")).save(copy)
    found, _ = looked_up(known, copies)
    assert found.kinds.tolist() == [NEAR] * 4
    assert found.splits.tolist() == [TRAIN, TRAIN, TRAIN, VAL]


def test_other_pictures_mirrored_ones_and_blank_ones_are_not_known(
    known: LearnedFrom, files: list[Path], tmp_path: Path
) -> None:
    others = [tmp_path / "mirrored.png", tmp_path / "blank.png", tmp_path / "broken.png"]
    Image.open(files[12]).transpose(Image.Transpose.ROTATE_90).save(others[0])
    Image.new("RGB", (40, 40), "white").save(others[1])
    others[2].write_bytes(b"no picture")
    found, unreadable = looked_up(known, others)
    assert (found.kinds.tolist(), found.splits.tolist()) == ([UNSEEN] * 3, [-1] * 3)
    assert list(unreadable) == [2] and "broken.png" in unreadable[2]


def test_the_limit_falls_where_different_pictures_are_too_much_alike() -> None:
    random = np.random.default_rng(0)
    apart = random.normal(0, 20, (40, LENGTH))
    alike = apart[:1] + random.normal(0, 0.5, (40, LENGTH))
    content = np.array([bytes([place]) * 16 for place in range(40)], "V16")
    splits = np.zeros(40, np.int8)
    usual = learned_from(content, apart, splits, np.arange(40))
    assert (usual.near_limit, usual.false_matches) == (0.002, 0.0)
    assert learned_from(content, alike, splits, np.arange(40)).near_limit < usual.near_limit
    assert learned_from(content, np.repeat(apart[:1], 40, 0), splits, np.arange(40)).near_limit == 0
    # Known to be the same picture: no false match.
    assert learned_from(content, np.repeat(apart[:1], 40, 0), splits, np.zeros(40, np.int64)).near_limit == 0.002


def test_a_hash_stands_for_what_it_was_made_of() -> None:
    numbers = np.random.default_rng(1).normal(0, 30, (50, LENGTH)).astype(np.float32)
    hashes = hashed(numbers)
    assert hashes.shape == (50, BYTES) and hashes.dtype == np.uint8
    found = distances(numbers, hashes)
    assert np.allclose(np.diag(found), 0) and (found[~np.eye(50, dtype=bool)] > 0.01).all()


def test_the_file_is_small_read_back_and_tells_no_names(known: LearnedFrom, files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "learned_from.safetensors"
    path.write_bytes(known.to_bytes())
    assert len(path.read_bytes()) < 34 * len(files) + 600
    assert b"disc" not in path.read_bytes()
    again = read_learned_from(path)
    assert (again.near_limit, again.false_matches, len(again)) == (known.near_limit, known.false_matches, 30)
    found, _ = looked_up(again, files)
    assert found.kinds.tolist() == [SAME] * 25 + [UNSEEN] * 5
    path.write_bytes(known.to_bytes()[:-7])
    with pytest.raises(BundleError, match=r"learned_from\.safetensors: it can not be read"):
        read_learned_from(path)


def test_images_learned_from_since_are_added(known: LearnedFrom, files: list[Path]) -> None:
    content, numbers, _ = fingerprints_of(files[28:])
    found, _ = looked_up(known.with_more(content, numbers), files[26:])
    assert found.kinds.tolist() == [UNSEEN, UNSEEN, SAME, SAME]


def test_images_of_two_trainings_are_known_together(known: LearnedFrom, files: list[Path]) -> None:
    content, numbers, _ = fingerprints_of(files[28:])
    other = learned_from(content, numbers, np.array([0, 1], np.int8), np.arange(2))
    both = known.united(other)
    assert len(both) == len(known) + 2 and both.near_limit == min(known.near_limit, other.near_limit)
    found, _ = looked_up(both, [files[0], *files[26:]])
    assert found.kinds.tolist() == [SAME, UNSEEN, UNSEEN, SAME, SAME] and found.splits.tolist()[-2:] == [0, 1]
