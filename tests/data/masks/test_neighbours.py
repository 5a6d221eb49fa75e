"""Neighbouring tiles and slices that a split parts: told by names and likeness, and not where names merely count."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.audit import audit
from pocketvision.data.masks.neighbours import slices, tiles
from pocketvision.data.sources.catalog import read_samples


@pytest.mark.parametrize(
    "names",
    [
        [f"city/a_{row}_{column}.png" for row in (0, 256) for column in (0, 256, 512)],
        [f"a_x{column}_y{row}.tif" for row in (7, 8) for column in (1, 2, 3)],
        [f"slide3_r{row}_c{column}.jpg" for row in (1, 2) for column in (1, 2, 3)],
    ],
)
def test_tiles_are_told_by_two_places_in_their_names(names: list[str]) -> None:
    assert len(tiles(names)) == 7  # of 2 x 3 tiles
    assert len(tiles([*names, names[0].replace("a_", "b_").replace("slide3", "slide4")])) == 7  # another picture's


def test_names_that_merely_count_are_no_tiles() -> None:
    assert tiles([f"patient_{one}_{two}.png" for one in range(4) for two in range(4)]) == []
    assert tiles(["2024_10_03.png", "2024_10_04.png", "plain.png"]) == []


def test_slices_are_told_by_numbers_and_likeness() -> None:
    names = [f"stack-{number:02}.png" for number in range(20)]
    drifting = np.cumsum(np.random.default_rng(0).normal(size=(20, 32)), axis=0)
    assert slices(names, drifting) == [(number, number + 1) for number in range(19)]
    assert slices(names, np.random.default_rng(0).normal(size=(20, 32))) == []
    assert slices(names[:8], drifting[:8]) == []  # too few to tell
    gone = drifting.copy()
    gone[4] = np.nan
    assert (3, 4) not in slices(names, gone) and (3, 5) not in slices(names, gone)


def data(root: Path, split_of: dict[str, str]) -> Path:
    generator = np.random.default_rng(0)
    for name, split in split_of.items():
        for folder, content in (
            ("images", generator.integers(0, 255, (32, 32, 3))),
            ("masks", generator.integers(0, 2, (32, 32))),
        ):
            file = root / folder / split / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(file)
    return root


def test_a_split_that_parts_neighbours_is_told(tmp_path: Path) -> None:
    names = [f"scene_{row}_{column}" for row in (0, 32, 64) for column in (0, 32)]
    parted = audit(
        read_samples(data(tmp_path / "a", {name: "val" if "_64_" in name else "train" for name in names})), workers=0
    )
    (found,) = (each for each in parted.findings if each.kind == "neighbours_across_splits")
    assert found.count == 2 and "scene_32_0.png" in found.message and "scene_64_0.png" in found.message
    assert "(train and val)" in found.message
    drawn = audit(read_samples(data(tmp_path / "b", dict.fromkeys(names, ""))), workers=0)
    (found,) = (each for each in drawn.findings if each.kind == "neighbouring_images")
    assert found.count == 6 and "--group" in found.message
    apart = {name: "train" if "scene" in name else "val" for name in (*names, "other_0_0", "other_0_32")}
    kinds = audit(read_samples(data(tmp_path / "c", apart)), workers=0).counts
    assert "neighbours_across_splits" not in kinds


def test_near_duplicates_across_splits_are_told_of_masked_images_too(tmp_path: Path) -> None:
    data(tmp_path, {"a": "train", "b": "train", "c": "val", "d": "val"})
    smooth = Image.fromarray(np.random.default_rng(1).integers(0, 255, (6, 6, 3)).astype(np.uint8)).resize((32, 32))
    smooth.save(tmp_path / "images/train/a.png")
    smooth.resize((48, 48)).resize((32, 32)).save(tmp_path / "images/val/c.png")
    assert "near_leak" in audit(read_samples(tmp_path), workers=0).counts
