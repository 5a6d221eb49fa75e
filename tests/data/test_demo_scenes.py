"""The demo's scenes: the same for the same seed, their boxes tight, and nobody sees what is held out."""

from pathlib import Path

import numpy as np
import pytest

from pocketvision.data import demo_scenes
from pocketvision.data.demo_backgrounds import KINDS, background
from pocketvision.data.demo_faces import UNSEEN_DESIGN
from pocketvision.data.demo_scenes import CLASSES, MOST_FACES, SIZES, scene, scene_parts, write_scenes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels

PAPER = (255, 0, 255)


def test_nobody_sees_what_is_held_out() -> None:
    parts = {split: [path.stem.rpartition("-") for path in faces] for split, faces in scene_parts(0).items()}
    assert {design for *_, design in parts["test"]} == {UNSEEN_DESIGN}
    assert UNSEEN_DESIGN not in {design for split in ("train", "val") for *_, design in parts[split]}
    train, val = ({name for name, *_ in parts[split]} for split in ("train", "val"))
    assert not train & val and len(train | val) == len(parts["test"])
    assert scene_parts(0) == scene_parts(0) != scene_parts(1)


def test_boxes_are_tight_around_what_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """On paper of one colour: beside the boxes there is nothing but it, and each side of a box has something of a face."""

    def paper(_random: np.random.Generator, size: tuple[int, int]) -> object:
        return np.full((size[1], size[0], 3), PAPER, np.uint8)

    monkeypatch.setattr(demo_scenes, "background", paper)
    faces, seen = scene_parts(0)["train"], 0
    for number in range(12):
        drawn = scene(np.random.default_rng(number), faces)
        inked = np.abs(drawn.pixels.astype(int) - PAPER).max(axis=-1) > 8
        beside = np.abs(drawn.pixels.astype(int) - PAPER).max(axis=-1) > 140  # beyond the soft edges of a face
        for left, top, right, bottom in drawn.boxes.astype(int):
            part = inked[top:bottom, left:right]
            assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()
            beside[top:bottom, left:right] = False
            seen += 1
        assert not beside.any()
        assert drawn.pixels.shape[1::-1] in SIZES and 1 <= len(drawn.boxes) <= MOST_FACES
    assert seen > 20


def test_backgrounds_are_of_many_kinds_and_the_same_for_the_same_number() -> None:
    drawn = [background(np.random.default_rng(number), (64, 48)) for number in range(24)]
    assert all(each.shape == (48, 64, 3) and each.dtype == np.uint8 for each in drawn)
    np.testing.assert_array_equal(drawn[3], background(np.random.default_rng(3), (64, 48)))
    for kind in KINDS:
        pixels = kind(np.random.default_rng(0), (64, 48))
        assert pixels.shape == (48, 64, 3) and np.isfinite(pixels).all() and pixels.std() > 0.005, kind.__name__


def test_scenes_are_written_as_data_that_anybody_could_have(tmp_path: Path) -> None:
    parts, counts = scene_parts(5), {"train": 4, "val": 2, "test": 3}
    write_scenes(tmp_path / "one", 5, counts, parts)
    write_scenes(tmp_path / "other", 5, {"test": 3}, parts)
    samples = read_samples(tmp_path / "one")
    truth = samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels) and truth.class_names == CLASSES and not samples.found
    assert [len(samples.split_indices(split)) for split in counts] == [*counts.values()]
    for place in samples.split_indices("test").tolist():  # the same, whatever other splits there are
        name = samples.paths[place].rpartition("/")[2]
        assert (tmp_path / "other/test" / name).read_bytes() == samples.file(place).read_bytes()
    drawn = scene(np.random.default_rng([5, 2, 0]), parts["test"])
    place = next(each for each, path in enumerate(samples.paths) if path.endswith("test_0000.jpg"))
    np.testing.assert_allclose(truth.rows.row(place)["boxes"], drawn.boxes)
