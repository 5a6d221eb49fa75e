"""The kinds of errors, worked by hand: one of each in one picture, and what mending each of them wins."""

import numpy as np
import pytest
from coco_cases import NAMES, TASK, drawn

from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.error_kinds import KINDS, NONE, error_figures, errors_of
from pocketvision.tasks.detection.metrics import measure
from pocketvision.tasks.detection.mistakes import mistakes
from pocketvision.tasks.detection.record import DetectionRecord, record
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.measuring import MeasureOptions

ANT, BEE, COW = range(3)


def recorded(
    objects: list[tuple[int, list[float]]], found: list[tuple[int, float, list[float]]], difficult: tuple[int, ...] = ()
) -> DetectionRecord:
    """Of one image."""
    truth = BoxLabels.of([([box for _, box in objects], [place for place, _ in objects])], NAMES)
    truth.rows.columns["difficult"][list(difficult)] = True
    boxes = np.array([box for *_, box in found], np.float64).reshape(-1, 4)
    answer = Detections(
        NAMES, boxes, np.array([score for _, score, _ in found]), np.array([each for each, *_ in found])
    )
    return record({}, answer, truth, TASK)


SIX = recorded(
    [
        (ANT, [0, 0, 10, 10]),
        (ANT, [100, 0, 110, 10]),
        (BEE, [200, 0, 210, 10]),
        (COW, [300, 0, 310, 10]),
        (BEE, [400, 0, 410, 10]),
    ],
    [
        (ANT, 0.95, [0, 0, 10, 10]),  # right
        (ANT, 0.9, [0, 0, 10, 9]),  # the same again
        (ANT, 0.8, [106, 0, 116, 10]),  # 4 of 16 shared with the second ant
        (ANT, 0.7, [200, 0, 210, 10]),  # a bee
        (BEE, 0.6, [306, 0, 316, 10]),  # a cow, and only near
        (COW, 0.5, [500, 0, 510, 10]),  # nothing
        (COW, 0.2, [600, 0, 610, 10]),  # nothing, and not shown
    ],
)


def test_each_error_is_of_its_kind() -> None:
    found = errors_of(SIX, SIX.said)
    named = [None if kind == NONE else KINDS[kind] for kind in found.kinds.tolist()]
    assert named == [None, "duplicate", "place", "class", "both", "background", None]
    assert found.meant.tolist() == [-1, 0, 1, 2, 3, -1, -1]
    # The second ant and the first bee were meant; nobody meant the cow rightly enough, nor the last bee.
    assert found.missed.tolist() == [False, False, False, True, True]


def test_what_does_not_count_is_no_error() -> None:
    hard = recorded([(ANT, [0, 0, 10, 10]), (BEE, [50, 0, 60, 10])], [(ANT, 0.9, [0, 0, 10, 10])], difficult=(0, 1))
    found = errors_of(hard, hard.said)
    assert found.kinds.tolist() == [NONE] and not found.missed.any()
    nothing = recorded([], [(ANT, 0.9, [0, 0, 10, 10])])
    assert errors_of(nothing, nothing.said).kinds.tolist() == [KINDS.index("background")]


def test_what_each_kind_costs() -> None:
    """Each class has the mean of 101 precisions. Ants are right, wrong, wrong, wrong of two: 51 points of 1. Others: 0."""
    figures = error_figures([SIX], len(NAMES))
    assert {kind: figures[kind].count for kind in KINDS} == {
        "missed": 2,
        "background": 1,
        "place": 1,
        "class": 1,
        "both": 1,
        "duplicate": 1,
    }
    ants = 51 / 101
    # Placed well, the second ant is found after two wrong ones: a precision of 2/3 for the other 50 points.
    placed = (51 + 50 * 2 / 3) / 101
    # Under its own name the bee is the first of two.
    named = 51 / 101
    # Without the missed cow no cow is there at all, and one bee of two is left: two classes, of which one is half found.
    wanted = {
        "place": (placed - ants) / 3,
        "class": named / 3,
        "missed": ants / 2 - ants / 3,
        "background": 0,
        "both": 0,
        "duplicate": 0,
    }
    assert {kind: figures[kind].gain for kind in KINDS} == pytest.approx(wanted)


def test_right_detections_make_no_errors() -> None:
    objects = [(ANT, [0.0, 0, 10, 10]), (BEE, [50.0, 0, 60, 10])]
    perfect = recorded(objects, [(place, 0.9, box) for place, box in objects])
    assert all(each.count == 0 and each.gain == 0 for each in error_figures([perfect], 3).values())
    assert mistakes([perfect], ["one.png"], TASK) == []


@pytest.mark.parametrize("seed", range(3))
def test_every_wrong_detection_has_one_kind_and_every_object_is_found_meant_or_missed(seed: int) -> None:
    case = drawn(seed)
    records = case.records
    metrics = measure(records, TASK, MeasureOptions())
    wrong = sum(each.at.false_alarms for each in metrics.per_class)
    counts = {kind: each.count for kind, each in metrics.errors.items()}
    assert sum(counts.values()) - counts["missed"] == wrong > 0
    assert 0 < counts["missed"] <= sum(each.at.misses for each in metrics.per_class)
    assert all(0 <= each.gain <= 1 for each in metrics.errors.values())
    found = mistakes(records, [f"{place}.png" for place in range(len(records))], TASK)
    assert sum(len(each.errors) for each in found) == sum(counts.values())


def test_mistakes_say_what_was_meant() -> None:
    (mistake,) = mistakes([SIX], ["six.png"], TASK)
    assert mistake.text == "2 missed, 1 background, 1 place, 1 class, 1 both, 1 duplicate"
    assert mistake.badness == pytest.approx(2 + 0.9 + 0.8 + 0.7 + 0.6 + 0.5)
    assert mistake.to_dict()["errors"][4] == {
        "kind": "class",
        "name": "ant",
        "box": [200, 0, 210, 10],
        "score": 0.7,
        "meant": "bee",
    }
