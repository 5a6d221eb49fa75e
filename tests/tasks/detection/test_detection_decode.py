"""From a graph's boxes and scores to objects in the image's pixels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from coco_cases import NAMES, TASK
from PIL import Image

from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.decode import check, decode
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Detail

WHOLE = Placement.of_decoding((100, 80))
ALL = Detail(min_score=0.001)


def found(
    rows: list[tuple[list[float], list[float]]],
    *,
    detail: Detail = Detail(),  # noqa: B008 (frozen)
    placement: Placement = WHOLE,
    **postprocessing: Any,
) -> Detections:
    """rows: a box and its scores, for each anchor."""
    outputs = {
        "boxes": np.array([[box for box, _ in rows]], np.float32).reshape(1, len(rows), 4),
        "scores": np.array([[scores for _, scores in rows]], np.float32).reshape(1, len(rows), len(NAMES)),
    }
    return decode(outputs, [placement], replace(TASK, postprocessing=postprocessing), detail)[0]


def said(answer: Detections) -> list[tuple[str, float]]:
    return [(name, round(score, 4)) for name, score in zip(answer.names, answer.scores.tolist(), strict=True)]


def test_each_class_has_its_threshold_and_the_caller_the_last_word() -> None:
    rows = [([0, 0, 10, 10], [0.4, 0.0, 0.0]), ([20, 0, 30, 10], [0.0, 0.4, 0.0]), ([40, 0, 50, 10], [0.0, 0.0, 0.4])]
    thresholds = {"ant": 0.5, "bee": 0.2}
    assert said(found(rows, thresholds=thresholds)) == [("bee", 0.4), ("cow", 0.4)]
    assert len(found(rows, detail=Detail(min_score=0.1), thresholds=thresholds)) == 3
    assert len(found(rows, detail=Detail(min_score=0.41), thresholds=thresholds)) == 0
    at_it = found([([0, 0, 9, 9], [0.3, 0.0, 0.0])])
    assert said(at_it) == [("ant", 0.3)]


def test_which_boxes_suppress_each_other() -> None:
    rows = [([0, 0, 10, 10], [0.9, 0.8, 0.0]), ([0, 0, 10, 9], [0.7, 0.0, 0.0]), ([50, 50, 60, 60], [0.6, 0.0, 0.0])]
    assert said(found(rows)) == [("ant", 0.9), ("bee", 0.8), ("ant", 0.6)]
    assert said(found(rows, nms="any")) == [("ant", 0.9), ("ant", 0.6)]
    assert said(found(rows, nms="none")) == [("ant", 0.9), ("bee", 0.8), ("ant", 0.7), ("ant", 0.6)]
    assert said(found(rows, iou=0.95)) == said(found(rows, nms="none"))
    assert len(found(rows, most=2)) == 2 == len(found(rows, detail=Detail(most=2)))


def test_what_is_no_number_or_not_in_the_image_is_no_object() -> None:
    nan, inf = float("nan"), float("inf")
    good = ([1, 2, 30, 40], [0.9, 0, 0])
    rows = [
        ([5, 5, 9, 9], [nan, 0.0, 0.0]),
        ([nan, 5, 9, 9], [0.9, 0.0, 0.0]),
        ([-inf, 5, inf, 9], [0.9, 0.0, 0.0]),
        ([9, 9, 5, 5], [0.9, 0.0, 0.0]),
        ([120, 5, 140, 9], [0.9, 0.0, 0.0]),
        ([-9, -9, 0, 0], [0.9, 0.0, 0.0]),
    ]
    assert len(found(rows, detail=ALL)) == 0
    assert found([*rows, good], detail=ALL).boxes.tolist() == [[1, 2, 30, 40]]
    assert found([([-20, 60, 30, 400], [0.9, 0, 0])]).boxes.tolist() == [[0, 60, 30, 80]]


@pytest.mark.parametrize("fit", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("size", [(320, 100), (64, 400), (1, 1), (1, 3000), (96, 96)])
def test_boxes_come_back_to_the_pixels_that_they_are_of(fit: Any, size: tuple[int, int]) -> None:
    """Through whatever preprocessing, a mirrored view too: what was put in comes out, as far as it is seen."""
    preprocessing = Preprocessing(96, 96, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), fit=fit)
    placement = preprocessing.placement(Placement.of_decoding(size))
    assert preprocessing.crop(Image.new("RGB", size)).size == placement.input_size
    share = np.array([0.25, 0.5, 0.75, 0.9]) * [*size, *size]
    mirror = np.array([[-1.0, 0, placement.input_size[0]], [0, 1, 0], [0, 0, 1]])
    for place in (placement, placement.then(mirror, placement.input_size)):
        inside = place.boxes_to_input(share[None])[0].tolist()
        answer = found([(inside, [0.9, 0, 0])], placement=place)
        np.testing.assert_allclose(answer.boxes, share[None], rtol=1e-5, atol=1e-3)


def test_thousands_of_candidates_are_cut_to_the_best() -> None:
    generator = np.random.default_rng(0)
    count = 20_000
    corner = generator.random((count, 2)) * [90, 70]
    outputs = {
        "boxes": np.concatenate([corner, corner + 5], axis=1)[None].astype(np.float32),
        "scores": generator.random((1, count, 3)).astype(np.float32),
    }
    answer = decode(outputs, [WHOLE], TASK, ALL)[0]
    assert len(answer) == 100 and (np.diff(answer.scores) <= 0).all()
    assert answer.scores[0] == outputs["scores"].max()


@pytest.mark.parametrize(
    "wrong",
    [
        {"thresholds": {"dog": 0.5}},
        {"thresholds": {"ant": 1.5}},
        {"thresholds": [0.5]},
        {"iou": 2},
        {"iou": "much"},
        {"most": 0},
        {"nms": "soft"},
    ],
)
def test_a_bundle_that_says_what_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    check(TASK)
    with pytest.raises(ValueError, match="expected"):
        check(TaskManifest("detection", NAMES, TASK.outputs, postprocessing=wrong))


def test_the_headline_counts_by_class() -> None:
    def answer(*names: str) -> str:
        labels = tuple(dict.fromkeys(names))
        classes = np.array([labels.index(name) for name in names], np.int64)
        return Detections(labels, np.zeros((len(names), 4)), np.ones(len(names)), classes).headline

    assert answer("stain", "crack", "crack") == "2 cracks, 1 stain"
    assert answer("금", "금") == "2 금"
    assert answer("a", "b", "c", "hat", "hat") == "2 hats, 1 a, 1 b, 1 more"
    assert answer("glass", "glass", "RBC", "RBC") == "2 glass, 2 RBC"
    assert answer() == "no objects"


def test_boxes_are_cut_at_the_border_before_they_suppress_each_other_where_it_is_asked() -> None:
    """Both lie half beside the image: whole they overlap by a third, cut they are the same."""
    rows = [([-50, 0, 50, 80], [0.9, 0.0, 0.0]), ([0, 0, 50, 80], [0.8, 0.0, 0.0])]
    assert len(found(rows)) == 2
    one = found(rows, cut=True)
    assert said(one) == [("ant", 0.9)] and one.boxes.tolist() == [[0, 0, 50, 80]]
    with pytest.raises(ValueError, match="cut is yes; expected true or false"):
        check(replace(TASK, postprocessing={"cut": "yes"}))
