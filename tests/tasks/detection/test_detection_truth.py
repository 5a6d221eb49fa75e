"""Boxes as truth: moved with a view, cut, dropped, shared out, named otherwise, in so many bytes."""

import numpy as np
import pytest

from pocketvision.data.splits import make_split
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.detection.truth import BoxLabels, areas, joined

NAMES = ("ant", "bee")
BOXES = BoxLabels.of([([[10, 20, 30, 60]], [1]), ([], []), ([[0, 0, 8, 8], [90, 40, 100, 50]], [0, 1])], NAMES)


def placed(matrix: list[list[float]], size: tuple[int, int]) -> Placement:
    return Placement((100, 80), np.array([*matrix, [0, 0, 1]], np.float64), size)


def test_counts_and_what_is_said() -> None:
    assert len(BOXES) == 3 and BOXES.present.all() and BOXES.images.tolist() == [0, 2, 2]
    assert BOXES.class_counts().tolist() == [1, 2] and BOXES.box_counts().tolist() == [1, 2]
    other = BoxLabels.of([([[90, 40, 100, 50], [0, 0, 8, 8]], [1, 0])], NAMES)
    assert other.said(0) == BOXES.said(2) != BOXES.said(0) and BOXES.said(1) == b"boxes:"
    nobody = BoxLabels.flat(
        np.array([0, 0]), {"boxes": np.zeros((0, 4)), "classes": np.zeros(0)}, NAMES, np.array([False])
    )
    assert nobody.said(0) == b"" and not nobody.present.any()


def test_no_more_than_forty_bytes_a_box() -> None:
    count = 1000
    columns = {"boxes": np.ones((count, 4)), "classes": np.zeros(count), "areas": np.ones(count)}
    full = BoxLabels.flat(np.array([0, count]), columns, NAMES)
    assert sum(column.nbytes for column in full.rows.columns.values()) == 40 * count
    assert full.rows.offsets.nbytes <= 300 * len(full)


def test_boxes_move_with_a_view_and_are_cut() -> None:
    mirrored = BOXES.through(0, placed([[-2, 0, 200], [0, 2, 0]], (200, 160)))
    assert mirrored.boxes.tolist() == [[140, 40, 180, 120]] and len(mirrored) == 1
    crop = placed([[1, 0, -20], [0, 1, -10]], (60, 60))
    assert BOXES.through(0, crop).boxes.tolist() == [[0, 10, 10, 50]]  # half of it is left
    turned = placed([[0, -1, 80], [1, 0, 0]], (80, 100))
    assert BOXES.through(0, turned).boxes.tolist() == [[20, 10, 60, 30]]


def test_slivers_are_dropped_by_a_stated_share() -> None:
    crop = placed([[1, 0, -26], [0, 1, 0]], (60, 60))  # 4 of 20 pixels are left
    assert len(BOXES.through(0, crop).boxes) == 0
    assert BOXES.through(0, crop, least_visible=0.2).boxes.tolist() == [[0, 20, 4, 60]]
    away = placed([[1, 0, -50], [0, 1, 0]], (40, 40))
    assert len(BOXES.through(0, away, least_visible=0.0).boxes) == 0
    crowd = BoxLabels.flat(BOXES.rows.offsets, {**BOXES.rows.columns, "crowd": np.array([True, False, False])}, NAMES)
    assert crowd.through(0, crop).boxes.tolist() == [[0, 20, 4, 60]]


def test_a_mosaic_joins_its_parts() -> None:
    left, right = placed([[0.5, 0, 0], [0, 0.5, 0]], (100, 40)), placed([[0.5, 0, 50], [0, 0.5, 0]], (100, 40))
    both = joined([BOXES.through(0, left), BOXES.through(2, right), BOXES.through(1, left)])
    assert len(both) == 1 and both.classes.tolist() == [1, 0, 1]
    assert both.boxes.tolist() == [[5, 10, 15, 30], [50, 0, 54, 4], [95, 20, 100, 25]]


def test_by_other_names() -> None:
    other = BOXES.in_classes(("bee", "cow", "ant"))
    assert other.classes.tolist() == [0, 2, 0] and other.said(2) == BOXES.said(2)
    assert BOXES.in_classes(NAMES) is BOXES
    with pytest.raises(UsageError, match=r"class \(2 images\) 'bee'"):
        BOXES.in_classes(("ant",))
    with pytest.raises(UsageError, match="40,000 classes"):
        BoxLabels.of([], tuple(map(str, range(40_000))))
    with pytest.raises(ValueError, match="expected 0 to 1"):
        BoxLabels.of([([[0, 0, 1, 1]], [2])], NAMES)
    with pytest.raises(ValueError, match="Not boxes of 1 images"):
        BoxLabels(BOXES.rows, np.array([True]), NAMES)


def test_thousands_of_objects_in_one_image() -> None:
    many = BoxLabels.of([([[x, 0, x + 1, 1] for x in range(20_000)], [0] * 20_000)], NAMES)
    half = many.through(0, placed([[1, 0, 0], [0, 1, 0]], (10_000, 10)))
    assert len(half.boxes) == 10_000 and areas(half.boxes).tolist() == [1.0] * 10_000


def test_a_split_shares_out_boxes_images_and_backgrounds() -> None:
    """300 images with up to 30 boxes of a common class, one in ten with a rare one, one in five a background, groups of three."""
    random = np.random.default_rng(0)
    counts = np.where(np.arange(300) % 5 == 0, 0, random.integers(1, 31, 300))
    rows = []
    for place, count in enumerate(counts.tolist()):
        classes = [1 if count and each == 0 and place % 10 == 1 else 0 for each in range(count)]
        rows.append(([[0, 0, 9, 9]] * count, classes))
    truth = BoxLabels.of(rows, ("common", "rare"))
    groups = np.arange(300) // 3
    split = make_split(
        truth.strata, clusters=groups, val_share=0.2, test_share=0.1, seed=3, class_names=truth.class_names
    )
    assert all(len(set(split[groups == group].tolist())) == 1 for group in range(100))
    for share, part in ((0.2, 1), (0.1, 2)):
        chosen = truth.select(np.flatnonzero(split == part))
        assert abs(len(chosen) - 300 * share) <= 6
        assert abs(chosen.box_counts()[0] / truth.box_counts()[0] - share) < 0.02
        assert abs(chosen.box_counts()[1] / truth.box_counts()[1] - share) < 0.06
        assert abs((chosen.rows.lengths == 0).mean() - 0.2) < 0.1


def test_what_is_in_one_image_alone_is_learned_from() -> None:
    truth = BoxLabels.of([([[0, 0, 1, 1]], [int(place == 7)]) for place in range(20)], NAMES)
    splits = {int(make_split(truth.strata, val_share=0.4, seed=seed, class_names=NAMES)[7]) for seed in range(20)}
    assert splits == {0}
