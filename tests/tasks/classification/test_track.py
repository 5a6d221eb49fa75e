"""Properties of smoothing: scores stay scores, what is constant stays, and a label needs its margin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.tasks.classification.track import VOTES_AT_MOST, Hysteresis, Majority, MovingAverage, smoother

CLASSES = 4
one = some.lists(some.floats(0.01, 1), min_size=CLASSES, max_size=CLASSES)
rows = some.lists(one, min_size=1, max_size=30).map(lambda rows: np.array(rows) / np.sum(rows, axis=1, keepdims=True))
seconds = some.floats(0, 5)
names = some.sampled_from(["majority", "ema"])


def scores_of(name: str, seconds: float, rows: NDArray[np.float64], step: float = 0.1) -> NDArray[np.float64]:
    smooth = smoother(name, seconds)
    return np.array([smooth(step * place, row) for place, row in enumerate(rows)])


@given(names, seconds, rows)
def test_scores_are_scores(name: str, seconds: float, rows: NDArray[np.float64]) -> None:
    scores = scores_of(name, seconds, rows)
    assert scores.shape == rows.shape
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-9)
    assert scores.min() >= -1e-12


@given(seconds, rows)
def test_an_average_lies_between_what_it_has_seen(seconds: float, rows: NDArray[np.float64]) -> None:
    scores = scores_of("ema", seconds, rows)
    assert (scores <= np.maximum.accumulate(rows, axis=0) + 1e-9).all()
    assert (scores >= np.minimum.accumulate(rows, axis=0) - 1e-9).all()


@given(names, seconds, one)
def test_what_is_constant_stays(name: str, seconds: float, values: list[float]) -> None:
    row = np.array(values) / sum(values)
    scores = scores_of(name, seconds, np.repeat(row[None], 10, axis=0))
    np.testing.assert_allclose(scores, np.repeat(scores[:1], 10, axis=0), atol=1e-9)
    assert scores[0].argmax() == row.argmax()


@given(names, seconds, rows, some.permutations(range(CLASSES)))
def test_the_order_of_classes_does_not_matter(
    name: str, seconds: float, rows: NDArray[np.float64], order: list[int]
) -> None:
    two = np.sort(rows, axis=1)[:, -2:]
    if (two[:, 0] == two[:, 1]).any():
        return  # a tie goes to the first class, which another order changes
    np.testing.assert_allclose(scores_of(name, seconds, rows)[:, order], scores_of(name, seconds, rows[:, order]))


@given(rows)
def test_no_time_is_no_smoothing(rows: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(scores_of("ema", 0, rows), rows, atol=1e-9)
    assert (scores_of("majority", 0, rows).argmax(axis=1) == rows.argmax(axis=1)).all()


@given(some.floats(0.1, 3), some.floats(0.01, 1), some.integers(1, 20))
def test_an_average_is_one_of_time_and_not_of_frames(seconds: float, span: float, steps: int) -> None:
    """The same change seen for the same time weighs the same, in however many frames."""
    low, high = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    few, many = MovingAverage(seconds), MovingAverage(seconds)
    few(0, low), many(0, low)
    for step in range(1, steps + 1):
        last = many(span * step / steps, high)
    np.testing.assert_allclose(few(span, high), last, atol=1e-9)


@given(rows, some.floats(0, 1))
def test_a_held_label_gives_way_only_to_its_margin(rows: NDArray[np.float64], margin: float) -> None:
    hold, before = Hysteresis(margin), None
    for row in rows:
        now = hold(row)
        if before is not None and now != before:
            assert row[now] > row[before] + margin
        assert row.max() <= row[now] + margin
        before = now


def test_flicker_is_gone() -> None:
    flicker = np.array([[0.52, 0.48], [0.48, 0.52]] * 20)
    hold, smooth = Hysteresis(0.1), MovingAverage(0.5)
    assert {hold(smooth(0.03 * place, row)) for place, row in enumerate(flicker)} == {0}


def test_a_majority_forgets_and_its_memory_is_bounded() -> None:
    vote, zero, other = Majority(1.0), np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for place in range(10):
        vote(0.1 * place, zero)
    np.testing.assert_allclose(vote(2.5, other), [0, 1])
    endless = Majority(1e9)
    for place in range(VOTES_AT_MOST + 10):
        endless(place, zero)
    assert len(endless._votes) == VOTES_AT_MOST


def test_an_unknown_smoothing_lists_near_ones() -> None:
    with pytest.raises(UsageError, match="majority"):
        smoother("majorty", 1)
