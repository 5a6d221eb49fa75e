"""Two models by one figure on the same images: tags by mean average precision, numbers by R²."""

import json

import numpy as np
import pytest

from pocketvision.cli.comparisons import headline_column
from pocketvision.tasks.number.comparison import compare as compare_numbers
from pocketvision.tasks.number.record import NumberRecord
from pocketvision.tasks.tags.comparison import compare as compare_tags
from pocketvision.tasks.tags.record import TagRecord

TRUTH = np.arange(40.0)


def numbers(error: float, known: bool = True) -> list[NumberRecord]:
    """Off by `error`, up and down in turn."""
    return [NumberRecord(each + error * (-1) ** row, each if known else None) for row, each in enumerate(TRUTH)]


def tags(wrong: int, known: bool = True) -> list[TagRecord]:
    """Of two tags; the first is wrong on so many images, the second always right."""
    found = []
    for row in range(40):
        marks = np.array([row % 2 == 0, row % 4 == 0])
        shares = np.where(marks, 0.9, 0.1) if row >= wrong else np.where(marks, [0.05, 0.9], [0.95, 0.1])
        found.append(TagRecord(shares.astype(np.float32), shares >= 0.5, marks if known else None))
    return found


def test_numbers_lose_points_of_r2() -> None:
    found = compare_numbers(numbers(1), numbers(3))
    variance = float(((TRUTH - TRUTH.mean()) ** 2).mean())
    assert found.drop == pytest.approx(100 * (9 - 1) / variance)
    assert found.headline is not None and found.headline.value == pytest.approx(1 - 9 / variance)
    assert found.reference_headline is not None and found.difference == pytest.approx(2)
    assert found.drop_interval is not None and found.drop_interval.low < found.drop < found.drop_interval.high
    assert found.within(found.drop) and not found.within(found.drop - 0.1)
    assert found.is_sure(found.drop_interval.high) and not found.is_sure(found.drop)
    ends = f"{found.drop_interval.low:.2f} to {found.drop_interval.high:.2f}"
    assert found.explain(5) == f"R² drops by {found.drop:.2f} points (95 %: {ends}) on 40 images, and 5 are allowed."
    assert set(found.figures()) == {"images", "kept", "mean_difference", "R2", "reference_R2", "drop"}
    assert json.loads(json.dumps(found.to_dict()))["drop_interval"][1] == found.drop_interval.high


def test_tags_lose_points_of_mean_average_precision() -> None:
    found = compare_tags(tags(0), tags(10))
    assert found.reference is not None and found.reference.value == 1
    assert found.drop is not None and 5 < found.drop < 30
    assert found.kept == 1 - 10 / 80 and found.explain(1).startswith("the mean average precision drops by")
    assert set(found.figures()) == {"images", "same", "mean_probability_difference", "mAP", "reference_mAP", "drop"}
    assert compare_tags(tags(0), tags(2)).closeness > found.closeness


def test_a_column_of_figures_is_called_as_they_are() -> None:
    assert headline_column([compare_tags(tags(0), tags(1))]) == "mAP"
    assert headline_column([compare_numbers(numbers(1), numbers(2))]) == "R2"


def test_without_truth_what_is_kept_stands_in() -> None:
    found = compare_tags(tags(0, known=False), tags(8, known=False))
    assert (found.drop, found.headline, found.can_be_sure(50)) == (None, None, False)
    assert found.within(10) and not found.within(9.9)
    assert found.explain(5).startswith(
        "10.00 % of the tags of 40 images changed, and 5 are allowed; with labelled images"
    )
    number = compare_numbers(numbers(0, known=False), numbers(1, known=False))
    assert (
        "points of R² are lost against the reference's own answers, which differ by 1 on average, on 40"
        in number.explain(0)
    )


def test_unchanged_answers_leave_the_doubt_that_so_few_images_leave() -> None:
    found = compare_tags(tags(3), tags(3))
    assert found.drop == 0 and found.drop_interval is not None and found.drop_interval.high > 0
    assert not found.is_sure(0.1) and found.can_be_sure(100)
