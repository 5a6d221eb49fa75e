"""The order of an epoch: every batch has its share of each task's truth, and rare tasks come more often where that is wanted."""

import numpy as np
import pytest

from pocketvision.tasks.ragged import Ragged
from pocketvision.training.batch_order import balanced_weights, drawn_order, mixed_order, repeated, repeats


def test_a_single_pattern_is_shuffled_as_ever() -> None:
    order = mixed_order(np.full(50, 3), np.random.default_rng([1, 2]))
    assert order.tolist() == np.random.default_rng([1, 2]).permutation(50).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_every_batch_holds_its_share_of_each_pattern(seed: int) -> None:
    patterns = np.repeat([1, 2, 3], [160, 40, 8])
    np.random.default_rng(9).shuffle(patterns)
    order = mixed_order(patterns, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(208))
    for start in range(0, 208, 26):
        counts = np.bincount(patterns[order[start : start + 26]], minlength=4)[1:]
        assert np.abs(counts - [20, 5, 1]).max() <= 1


def test_epochs_differ_and_repeat() -> None:
    patterns = np.arange(60) % 2
    orders = [mixed_order(patterns, np.random.default_rng(seed)).tolist() for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]


def test_rare_tasks_come_more_often_by_the_root_or_until_all_have_as_many() -> None:
    present = np.zeros((2, 110), np.bool_)
    present[0, :100], present[1, 100:] = True, True
    once, halfway, equal = (repeats(present, each, np.random.default_rng(0)) for each in (1.0, 0.5, 0.0))
    assert once.tolist() == [1] * 110
    assert halfway[:100].tolist() == [1] * 100 and set(halfway[100:].tolist()) == {3, 4}
    assert abs(halfway[100:].sum() - 100**0.5 * 10**0.5) <= 3
    assert equal.tolist() == [1] * 100 + [10] * 10


def test_pictures_with_all_truth_come_once_whatever_is_wanted() -> None:
    present = np.ones((3, 20), np.bool_)
    for exponent in (0.0, 0.5, 1.0):
        assert repeats(present, exponent, np.random.default_rng(0)).tolist() == [1] * 20
    nothing = np.zeros((2, 3), np.bool_)
    assert repeats(nothing, 0.0, np.random.default_rng(0)).tolist() == [1, 1, 1]


def test_a_picture_of_a_common_and_a_rare_task_comes_as_often_as_the_rare_one_asks() -> None:
    present = np.array([[True] * 8, [True] * 2 + [False] * 6])
    assert repeats(present, 0.0, np.random.default_rng(0)).tolist() == [4, 4, 1, 1, 1, 1, 1, 1]


def test_copies_are_numbered() -> None:
    rows, copies = repeated([np.array([True, True, True, False]), np.array([False, False, False, True])], "equal", 0)
    assert rows.tolist() == [0, 1, 2, 3, 3, 3] and copies.tolist() == [0, 0, 0, 0, 1, 2]


def test_a_balanced_sampler_draws_every_stratum_alike() -> None:
    """Classes of 90 and 10 images; of pictures that hold several things the rarest decides."""
    labels = np.repeat([0, 1], [90, 10])
    weights = balanced_weights([labels])
    assert weights.sum() == pytest.approx(1) and weights[labels == 1].sum() == pytest.approx(0.5)
    drawn = [labels[drawn_order(weights, np.random.default_rng(seed))[0]].mean() for seed in range(40)]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.03)
    held = Ragged.of([{"stratum": np.array(each)} for each in [[0]] * 8 + [[0, 1]] + [[0, 0, 0]]])
    assert balanced_weights([held]).tolist() == pytest.approx([1 / 21] * 8 + [12 / 21] + [1 / 21], rel=1e-6)


def test_who_is_drawn_twice_is_told_apart() -> None:
    order, times = drawn_order(np.array([0.9, 0.05, 0.05]), np.random.default_rng(0))
    again = drawn_order(np.array([0.9, 0.05, 0.05]), np.random.default_rng(0))
    assert np.array_equal(order, again[0]) and len(order) == 3
    for row in range(3):
        assert times[order == row].tolist() == [*range((order == row).sum())]
