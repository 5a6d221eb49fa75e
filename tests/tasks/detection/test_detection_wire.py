"""Objects in tables, JSON, COCO's results, and whether two graphs say the same ones."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from coco_cases import NAMES, TASK, cocos, drawn

from pocketvision.errors import AgreementError, UsageError
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.detection.agreement import agree
from pocketvision.tasks.detection.answer import Detections, Passed
from pocketvision.tasks.detection.coco_results import category_ids, coco_results
from pocketvision.tasks.detection.draw import class_colour, draw
from pocketvision.tasks.detection.wire import COLUMNS
from pocketvision.tasks.rows import csv_row, json_row
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import answers_from_json, answers_to_json, brief, columns

TWO = Detections(
    NAMES,
    np.array([[1.0, 2, 30, 40.25], [0, 0, 9, 9]]),
    np.array([0.875, 0.5]),
    np.array([1, 0]),
    np.array([4, 7]),
    Passed((0, 5, 10, 5), {"ant": (2, 1)}),
)
NONE = TWO.take(np.zeros(2, np.bool_))


@dataclass(frozen=True)
class Row:
    path: str
    answers: Answers
    error: str | None = None


def told(*rows: Row, kinds: dict[str, str] | None = None) -> list[str]:
    return b"".join(csv_row(row, kinds or {"it": "detection"}, Detail()) for row in rows).decode().splitlines()


def test_a_table_has_a_row_for_each_object() -> None:
    assert columns({"it": "detection"}, Detail()) == list(COLUMNS)
    found = told(Row("a.png", {"it": TWO}), Row("b.png", {"it": NONE}), Row("c.png", {}, "is no image"))
    assert found == [
        "a.png,bee,0.875000,1.000000,2.000000,30.000000,40.250000,",
        "a.png,ant,0.500000,0.000000,0.000000,9.000000,9.000000,",
        "b.png,,,,,,,",
        "c.png,,,,,,,is no image",
    ]
    assert brief({"it": TWO}, Detail()) == [["1 bee, 1 ant"]]
    both = told(Row("a.png", {"it": TWO, "other": NONE}), kinds={"it": "detection", "other": "detection"})
    assert both == ['a.png,"bee;ant","0.88;0.50","1.00;0.00","2.00;0.00","30.00;9.00","40.25;9.00",,,,,,,']


def test_json_has_tracks_and_what_passed_only_where_there_are_some() -> None:
    line = json.loads(json_row(Row("a.png", {"it": TWO}), {"it": "detection"}, Detail(most=1)))
    assert line["answers"]["it"] == {
        "kind": "detection",
        "headline": "1 bee, 1 ant",
        "objects": [{"label": "bee", "score": 0.875, "box": [1, 2, 30, 40.25], "track": 4}],
        "passed": {"line": [0, 5, 10, 5], "counts": {"ant": [2, 1]}},
    }
    plain = Detections(NAMES, TWO.boxes, TWO.scores, TWO.classes)
    assert set(answers_to_json({"it": plain}, Detail())["it"]) == {"kind", "headline", "objects"}
    read = answers_from_json(answers_to_json({"it": TWO}, Detail()))["it"]
    assert read.passed == TWO.passed and read.tracks.tolist() == [4, 7] and read.names == TWO.names


@pytest.mark.parametrize(
    "wrong",
    [
        {"objects": [{"label": "a", "score": 1.5, "box": [0, 0, 1, 1]}]},
        {"objects": [{"label": "a", "score": 0.5, "box": [0, 0, 1]}]},
        {"objects": [{"label": 3, "score": 0.5, "box": [0, 0, 1, 1]}]},
        {"objects": [{"label": "a", "score": float("nan"), "box": [0, 0, 1, 1]}]},
        {"objects": [{"label": "a", "score": 0.5, "box": [0, 0, 1, float("inf")]}]},
        {"objects": [], "passed": {"line": [0, 0, 1], "counts": {}}},
    ],
)
def test_objects_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        answers_from_json({"it": {"kind": "detection", **wrong}})


def test_cocos_own_code_reads_what_is_written_for_it() -> None:
    case, ids = drawn(4), category_ids(NAMES)
    written = [each for place, answer in enumerate(case.found) for each in coco_results(answer, place + 1, ids)]
    assert written[0]["bbox"] == [
        *case.found[0].boxes[0, :2],
        *(case.found[0].boxes[0, 2:] - case.found[0].boxes[0, :2]),
    ]
    assert cocos(case, written)[0] == cocos(case)[0]
    with pytest.raises(UsageError, match="No category id is known for the class 'bee'"):
        coco_results(TWO, 1, {"ant": 1})


def outputs(scores: float = 0.9, moved: float = 0.0, low_moved: float = 0.0) -> dict[str, Any]:
    """Two images of three boxes, of which the last has a score that nobody looks at."""
    boxes = np.tile(np.array([[0, 0, 100, 100], [50, 50, 90, 90], [0, 0, 10, 10]], np.float32), (2, 1, 1))
    shares = np.tile(np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.001, 0, 0]], np.float32), (2, 1, 1))
    boxes[1, 0] += moved
    boxes[1, 2] += low_moved
    shares[1, 0, 0] = scores
    return {"boxes": boxes, "scores": shares}


def test_two_graphs_agree_where_what_matters_is_the_same() -> None:
    found = agree(outputs(), outputs(0.9004, moved=0.2, low_moved=5))
    found.require("file")
    assert found.boxes == 4 and found.least > 0.99 and found.largest == pytest.approx(0.0004, abs=1e-6)
    assert found.to_dict() == pytest.approx(
        {"images": 2, "tolerance": 1e-3, "boxes": 4, "max_score_difference": found.largest, "min_iou": found.least}
    )


@pytest.mark.parametrize(
    "other", [outputs(0.902), outputs(moved=0.6), outputs(float("nan")), outputs(moved=float("nan"))], ids=range(4)
)
def test_a_graph_that_finds_something_else_is_not_shipped(other: dict[str, Any]) -> None:
    with pytest.raises(AgreementError, match=r"model\.onnx does not find .* on 1 of 2 images: b\.png"):
        agree(outputs(), other).require("model.onnx", ["a.png", "b.png"])


def test_boxes_too_thin_to_show_anything_may_lie_anywhere() -> None:
    cut, elsewhere, seen = outputs(), outputs(), outputs()
    cut["boxes"][1, 0], elsewhere["boxes"][1, 0], seen["boxes"][1, 0] = [5, 5, 5, 90], [7, 5, 7.001, 90], [5, 5, 6, 90]
    found = agree(cut, elsewhere)
    found.require("file")
    assert found.boxes == 3
    with pytest.raises(AgreementError):
        agree(cut, seen).require("file")


def test_boxes_are_drawn_where_they_are_in_the_colours_of_their_classes() -> None:
    canvas = Canvas(np.zeros((300, 400, 3), np.uint8), latin=True)
    answer = Detections(
        NAMES, np.array([[50.0, 100, 150, 200], [200, 120, 390, 290]]), np.array([0.9, 0.8]), np.array([0, 2])
    )
    draw(canvas, answer)
    drawn_on = canvas.finished()
    assert tuple(drawn_on[199, 100]) == class_colour(0) and tuple(drawn_on[200, 389]) == class_colour(2)
    assert tuple(drawn_on[289, 300]) == class_colour(2) and not drawn_on[290].any()
    assert not drawn_on[205:, :190].any() and not drawn_on[150, 60:140].any()
    colours = np.array([class_colour(place) for place in range(12)])
    apart = np.abs(colours[:, None] - colours).sum(axis=2) + 999 * np.eye(12)
    assert apart.min() > 30
    assert TASK.kind == answer.kind


def test_names_are_drawn_within_the_picture_and_what_passed_in_letters_of_every_font() -> None:
    """The name of a small object at the right border goes on to its left."""
    answer = Detections(("a long name",), np.array([[380.0, 100, 396, 120]]), np.array([0.9]), np.array([0]))
    canvas = Canvas(np.zeros((300, 400, 3), np.uint8), latin=True)
    lines = list[str]()
    canvas.write = lines.append  # type: ignore[method-assign]
    draw(canvas, replace(answer, passed=Passed((0, 150, 400, 150), {"a long name": (3, 1)})))
    painted = np.flatnonzero((canvas.finished()[95] == class_colour(0)).all(axis=-1))
    assert painted.min() < 340 and 396 <= painted.max() <= 399
    assert lines == ["1 a long name", "a long name: 3 to the right, 1 to the left"]
    assert all(line.isascii() for line in lines)  # Pillow's own font has no arrows
