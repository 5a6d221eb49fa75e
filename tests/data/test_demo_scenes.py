"""The demo's scenes: the same for the same seed, their boxes tight, and nobody sees what is held out."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pocketvision.data import demo_scenes
from pocketvision.data.demo_backgrounds import KINDS, background, drawn_kind
from pocketvision.data.demo_faces import UNSEEN_DESIGN
from pocketvision.data.demo_scene_files import CLASSES, PIXELS, SOURCES, write_scenes
from pocketvision.data.demo_scenes import MOST_FACES, SIZES, scene, scene_parts
from pocketvision.data.sources.catalog import read_samples
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.tasks.segmentation.truth import SEGMENTATION, MaskLabels

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

    def paper(_random: np.random.Generator, size: tuple[int, int], _kind: str) -> object:
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
    assert {drawn_kind(np.random.default_rng(number)) for number in range(24)} == set(KINDS)
    for kind, draw in KINDS.items():
        pixels = draw(np.random.default_rng(0), (64, 48))
        assert pixels.shape == (48, 64, 3) and np.isfinite(pixels).all() and pixels.std() > 0.005, kind
        drawn = background(np.random.default_rng(3), (64, 48), kind)
        assert drawn.shape == (48, 64, 3) and drawn.dtype == np.uint8
        np.testing.assert_array_equal(drawn, background(np.random.default_rng(3), (64, 48), kind))


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


def test_scenes_of_all_tasks_are_one_data_set(tmp_path: Path) -> None:
    """What a table says stands behind, what COCO says of boxes and what masks show is that of the same scene."""
    parts, counts = scene_parts(5), {"train": 4, "test": 2}
    write_scenes(tmp_path / "all", 5, counts, parts, tuple(SOURCES))
    samples = read_samples(tmp_path / "all")
    assert [*samples.truth] == [*SOURCES] and not samples.found
    assert [len(samples.split_indices(split)) for split in counts] == [*counts.values()]
    boxes, masks = samples.truth[DETECTION], samples.truth[SEGMENTATION]
    assert isinstance(boxes, BoxLabels) and isinstance(masks, MaskLabels) and masks.class_names == PIXELS
    with (tmp_path / "all/behind.csv").open(encoding="utf-8", newline="") as file:
        behind = {row["path"]: row["label"] for row in csv.DictReader(file)}
    for place, path in enumerate(samples.paths):
        split, _, name = path.partition("/")
        number = int(name.removesuffix(".jpg").rpartition("_")[2])
        drawn = scene(np.random.default_rng([5, ("train", "val", "test").index(split), number]), parts[split])
        assert behind[path] == drawn.behind
        np.testing.assert_allclose(boxes.rows.row(place)["boxes"], drawn.boxes)
        np.testing.assert_array_equal(masks.mask(place), drawn.owner >= 0)


def test_scenes_of_masks_alone_are_recognised(tmp_path: Path) -> None:
    write_scenes(tmp_path / "masks", 5, {"train": 2, "val": 1}, scene_parts(5), (SEGMENTATION,))
    samples = read_samples(tmp_path / "masks")
    assert [*samples.truth] == [SEGMENTATION] and samples.class_names == PIXELS
    assert len(samples.split_indices("train")) == 2
