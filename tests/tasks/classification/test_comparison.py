"""Two models on the same images: the figures by hand, and the paired interval by simulation."""

import json
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.statistics import Interval, paired_drop, wilson
from pocketvision.tasks.classification.comparison import ClassComparison as Comparison
from pocketvision.tasks.classification.comparison import compare

NAN, INF = float("nan"), float("inf")


def answers(*classes: int, sure: float = 0.8) -> NDArray[np.float32]:
    """Probabilities (N, 3) with these best classes."""
    found = np.full((len(classes), 3), (1 - sure) / 2, np.float32)
    found[np.arange(len(classes)), classes] = sure
    return found


def test_figures_by_hand() -> None:
    """Eight images: the reference is right on 6, the candidate on 4; it lost three of them and gained one."""
    truth = np.array([0, 0, 1, 1, 2, 2, 0, 1])
    reference = answers(0, 0, 1, 1, 2, 2, 1, 0)
    candidate = answers(1, 2, 0, 1, 2, 2, 0, 2, sure=0.7)
    found = compare(reference, candidate, truth)
    assert (found.images, found.top1_agreement) == (8, 3 / 8)
    assert found.reference_accuracy == 6 / 8 and found.accuracy == 4 / 8
    assert found.drop == pytest.approx(25)
    assert (found.reference_interval, found.interval) == (wilson(6, 8), wilson(4, 8))
    assert found.drop_interval == paired_drop(3, 1, 8)
    # Another class: 0.8 against 0.15. The same class: 0.8 against 0.7.
    assert found.max_probability_difference == pytest.approx(0.65)
    assert found.mean_probability_difference == pytest.approx((5 * 0.65 + 3 * 0.1) / 8)


def test_the_interval_by_hand() -> None:
    """An answer more of both kinds: 5 lost and 1 gained of 100 are 6 and 2 of 102."""
    difference = 4 / 102
    spread = sqrt((8 / 102 - difference**2) / 102)
    found = paired_drop(5, 1, 100)
    assert (
        found.low == pytest.approx(100 * (difference - 1.959964 * spread), abs=1e-4) == pytest.approx(-1.4598, abs=1e-3)
    )
    assert (
        found.high == pytest.approx(100 * (difference + 1.959964 * spread), abs=1e-4) == pytest.approx(9.3029, abs=1e-3)
    )


def test_no_change_has_a_width_that_shrinks() -> None:
    assert paired_drop(0, 0, 98) == Interval(pytest.approx(-2.771808), pytest.approx(2.771808))
    widths = [paired_drop(0, 0, images).high for images in (1, 10, 100, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.03


def test_the_interval_turns_with_its_sign_and_stays_within_a_hundred_points() -> None:
    for lost, gained, images in ((3, 1, 20), (0, 7, 50), (1, 0, 1), (40, 0, 40)):
        one, other = paired_drop(lost, gained, images), paired_drop(gained, lost, images)
        assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
        assert -100 <= one.low < one.high <= 100
        assert one.low < 100 * (lost - gained) / images or images == 40
    assert paired_drop(40, 0, 40).high == 100


@pytest.mark.parametrize("images", [20, 40, 100, 400])
@pytest.mark.parametrize(
    ("lost", "gained"), [(0.02, 0.02), (0.05, 0.001), (0.05, 0.01), (0.1, 0.005), (0.1, 0.1), (0.3, 0.05), (0.02, 0.2)]
)
def test_the_interval_covers_the_truth(lost: float, gained: float, images: int) -> None:
    """A 95 % interval: in at least 93 % of 2,000 draws, which is 4 standard errors below. Losses without gains are the usual."""
    generator = np.random.default_rng(images)
    drawn = generator.multinomial(images, [lost, gained, 1 - lost - gained], size=2000)
    intervals = [paired_drop(int(each[0]), int(each[1]), images) for each in drawn]
    truth = 100 * (lost - gained)
    assert np.mean([each.low <= truth <= each.high for each in intervals]) >= 0.93
    if images == 400:
        assert np.mean([each.high - each.low for each in intervals]) < 13, "it has to say something"


def test_without_labels_there_is_no_accuracy() -> None:
    found = compare(answers(0, 1, 2, 0), answers(0, 1, 2, 1))
    assert found.top1_agreement == 0.75
    assert (found.accuracy, found.reference_accuracy, found.drop) == (None, None, None)
    assert (found.interval, found.reference_interval, found.drop_interval) == (None, None, None)
    assert found.figures().keys() == {
        "images",
        "top1_agreement",
        "max_probability_difference",
        "mean_probability_difference",
    }


def test_unlabelled_answers_that_changed_stand_for_the_drop() -> None:
    found = compare(answers(0, 1, 2, 0), answers(0, 1, 2, 1))
    assert found.within(25) and not found.within(24.9)
    assert not found.is_sure(100)


def labelled(drop: float, low: float, high: float) -> Comparison:
    return Comparison(100, 0.5, 0.1, 0.1, drop=drop, drop_interval=Interval(low, high))


def test_within_looks_at_the_drop_and_sure_at_its_whole_interval() -> None:
    found = labelled(0.5, -0.4, 1.4)
    assert found.within(0.5) and not found.within(0.49)
    assert found.is_sure(1.4) and not found.is_sure(1.39)
    assert labelled(-3, -5, -1).within(0) and labelled(-3, -5, -1).is_sure(0)
    assert labelled(0.1 + 0.2, 0, 1).within(0.3), "rounding of a float is no drop"


def test_labelled_answers_may_change_so_long_as_the_accuracy_stays() -> None:
    found = compare(answers(0, 1, 2, 0), answers(1, 2, 0, 1), np.array([2, 0, 1, 2]))
    assert found.top1_agreement == 0 and found.drop == 0 and found.within(0)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_answers_that_are_no_numbers_agree_with_nothing_and_are_never_right(bad: float) -> None:
    """Whichever class is the first."""
    candidate = answers(0, 0, 1, 1)
    candidate[:2] = bad
    found = compare(answers(0, 0, 1, 1), candidate, np.array([0, 0, 1, 1]))
    assert found.max_probability_difference == INF
    assert (found.top1_agreement, found.accuracy, found.drop) == (0.5, 0.5, 50)


def test_figures_are_plain_numbers() -> None:
    found = compare(answers(0, 1, 2, 0), answers(0, 1, 2, 1), np.array([0, 1, 2, 0]))
    figures = json.loads(json.dumps(found.figures()))
    assert figures["drop"] == 25 and figures["images"] == 4
    assert found.interval is not None and figures["interval_low"] == found.interval.low
    assert found.drop_interval is not None and figures["drop_interval_high"] == found.drop_interval.high
    assert all(isinstance(value, int | float) for value in figures.values())
    assert json.loads(json.dumps(found.to_dict()))["drop_interval"]["high"] == found.drop_interval.high


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (answers(0, 1), answers(0, 1, 2)),
        (answers(0, 1), answers(0, 1)[:, :2]),
        (answers(0, 1)[:0], answers(0, 1)[:0]),
        (answers(0)[0], answers(0)[0]),
    ],
    ids=["images", "classes", "none", "one row"],
)
def test_other_shapes_are_refused(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match=r"expected equal \(images, classes\)"):
        compare(reference, candidate)
