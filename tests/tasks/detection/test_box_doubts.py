"""Doubtful boxes, worked by hand: one of each kind in one picture, and what does not make a label doubtful."""

import numpy as np
import pytest
from coco_cases import NAMES, TASK

from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.doubting import DOUBTING, cells
from pocketvision.tasks.detection.doubts import BoxDoubt, doubts_of
from pocketvision.tasks.detection.record import DetectionRecord, record
from pocketvision.tasks.detection.truth import BoxLabels

ANT, BEE, COW = range(3)
Found = tuple[int, float, list[float]]


def recorded(
    objects: list[tuple[int, list[float]]], found: list[Found], crowds: tuple[int, ...] = ()
) -> DetectionRecord:
    truth = BoxLabels.of([([box for _, box in objects], [place for place, _ in objects])], NAMES)
    truth.rows.columns["crowd"][list(crowds)] = True
    ranked = sorted(found, key=lambda each: -each[1])
    boxes = np.array([box for *_, box in ranked], np.float64).reshape(-1, 4)
    scores, classes = np.array([score for _, score, _ in ranked]), np.array([each for each, *_ in ranked], np.int64)
    return record({}, Detections(NAMES, boxes, scores, classes), truth, TASK)


def right(count: int, place: int = ANT) -> tuple[list[tuple[int, list[float]]], list[Found]]:
    """So many labels that are answered with 0.9 where they are."""
    boxes = [[20.0 * number, 100, 20 * number + 10, 110] for number in range(count)]
    return [(place, box) for box in boxes], [(place, 0.9, box) for box in boxes]


def by_box(doubts: list[BoxDoubt]) -> dict[tuple[float, ...] | None, BoxDoubt]:
    return {each.box if each.box is not None else each.answer_box: each for each in doubts}


def test_each_kind_is_told_with_its_doubt() -> None:
    labels, answers = right(8)
    labels += [(ANT, [0, 0, 10, 10]), (ANT, [100, 0, 110, 10]), (ANT, [200, 0, 210, 10])]
    answers += [
        (ANT, 0.8, [4, 0, 14, 10]),  # 60 of 140 shared
        (BEE, 0.7, [100, 0, 110, 10]),
        (ANT, 0.1, [100, 0, 110, 10]),
        (COW, 0.6, [300, 0, 310, 10]),
    ]
    doubts = doubts_of([recorded(labels, answers)], TASK)
    found = by_box(doubts)
    loose, renamed = found[(0, 0, 10, 10)], found[(100, 0, 110, 10)]
    nothing, missing = found[(200, 0, 210, 10)], found[(300, 0, 310, 10)]
    # Usual is the median overlap, 1; of eleven ants ten are answered.
    assert (loose.kind, loose.likely) == ("loose", True) and loose.doubt == pytest.approx(0.8 * (1 - 60 / 140))
    assert (renamed.kind, renamed.answer) == ("wrongly named", "bee") and renamed.doubt == pytest.approx(0.7 * 0.9)
    assert (nothing.kind, nothing.score) == ("not an object", None) and nothing.doubt == pytest.approx(10 / 11)
    assert (missing.kind, missing.name, missing.answer) == ("missing", None, "cow")
    assert missing.doubt == pytest.approx(0.6)
    assert {each.likely for each in (renamed, nothing, missing)} == {True}
    assert sum(each.likely for each in doubts) == 4 and len(doubts) == 12
    assert [each.likely for each in doubts] == sorted((each.likely for each in doubts), reverse=True)
    told = DOUBTING.lines(doubts, [recorded(labels, answers)])
    assert told == (
        "Of 11 boxes 3 may be wrong (1 loose, 1 wrongly named, 1 not an object), and 1 object may have no box (missing).",
    )


def test_a_neighbour_that_nobody_labelled_makes_no_label_loose() -> None:
    """It overlaps the label, which has an answer of its own."""
    doubts = doubts_of(
        [recorded([(ANT, [0, 0, 10, 10])], [(ANT, 0.9, [0, 0, 10, 10]), (ANT, 0.95, [6, 0, 16, 10])])], TASK
    )
    assert [(each.kind, each.likely) for each in doubts if each.box is None] == [("missing", True)]
    assert [each.likely for each in doubts if each.box is not None] == [False]


def test_an_object_upon_another_is_no_wrong_name() -> None:
    """A bee on an ant, both labelled and both answered."""
    labels = [(ANT, [0.0, 0, 10, 10]), (BEE, [0.0, 0, 10, 8])]
    answers = [(ANT, 0.6, [0.0, 0, 10, 10]), (BEE, 0.9, [0.0, 0, 10, 8])]
    assert not any(each.likely for each in doubts_of([recorded(labels, answers)], TASK))


def test_in_a_crowd_nothing_is_missing_and_it_is_not_judged() -> None:
    one = recorded([(ANT, [0, 0, 100, 100])], [(ANT, 0.9, [5, 5, 15, 15])], crowds=(0,))
    assert doubts_of([one], TASK) == []
    assert "Crowds and difficult objects (1) are not judged" in DOUBTING.lines([], [one])[1]


def test_a_class_that_is_seldom_answered_is_not_doubted_where_it_is_not() -> None:
    labels = [(COW, [20.0 * number, 0, 20 * number + 10, 10]) for number in range(5)]
    doubts = doubts_of([recorded(labels, [(COW, 0.9, labels[0][1])])], TASK)
    assert not any(each.likely for each in doubts)
    assert [round(each.doubt, 6) for each in doubts] == [0.2] * 4 + [0.02]


def test_two_names_for_one_gap_are_one_object() -> None:
    doubts = doubts_of([recorded([], [(ANT, 0.9, [0, 0, 10, 10]), (BEE, 0.5, [0, 0, 10, 9])])], TASK)
    assert [(each.kind, each.answer) for each in doubts] == [("missing", "ant")]
    assert doubts_of([recorded([], [])], TASK) == []


def test_rows_say_what_was_said_and_suggest_apart() -> None:
    box, other = (0.0, 0.0, 10.0, 10.0), (4.0, 0.0, 14.0, 10.0)
    loose = BoxDoubt(0, "loose", 0.5, True, "ant", box, "ant", other, 0.9)
    assert cells(loose) == ["ant", *box, "loose", 0.5, "ant", *other]
    named = BoxDoubt(0, "wrongly named", 0.5, True, "ant", box, "bee", other, 0.9)
    assert cells(named) == ["ant", *box, "wrongly named", 0.5, "bee", *[""] * 4]
    assert cells(BoxDoubt(0, "loose", 0.1, False, "ant", box, "ant", other, 0.9)) == ["ant", *box, "", 0.1, *[""] * 5]
    missing = BoxDoubt(0, "missing", 0.6, True, None, None, "ant", other, 0.9)
    assert cells(missing) == [*[""] * 5, "missing", 0.6, "ant", *other]
    assert cells(BoxDoubt(0, "missing", 0.1, False, None, None, "ant", other, 0.1)) is None
