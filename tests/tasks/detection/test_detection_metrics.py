"""The figures of detection: COCO's own code says the same, and what it does not know is worked by hand."""

import os
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coco_cases import FIGURES, NAMES, TASK, Case, cocos, drawn

from pocketvision.errors import PocketVisionError
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.bootstrap import resampled
from pocketvision.tasks.detection.metrics import measure
from pocketvision.tasks.detection.precision import average_precisions
from pocketvision.tasks.detection.record import joined
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.measuring import MeasureOptions


def nothing_found(case: Case) -> Case:
    none = Detections(NAMES, np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    return Case(case.truth, [none] * len(case.truth))


def without_objects_of(case: Case, place: int) -> Case:
    """Detections of the class stay."""
    rows = []
    for image in range(len(case.truth)):
        row = case.truth.rows.row(image)
        own = row["classes"] != place
        rows.append((row["boxes"][own], row["classes"][own].tolist()))
    return Case(BoxLabels.of(rows, NAMES), case.found)


CASES = {
    **{f"drawn {seed}": drawn(seed) for seed in range(6)},
    "crowds": drawn(10, crowds=0.6),
    "no crowds": drawn(11, crowds=0),
    "ties of scores": drawn(12, ties=True),
    "own areas": drawn(13, own_areas=True),
    "a class without objects": without_objects_of(drawn(14), 1),
    "many detections": drawn(15, images=3, extra=400),
    "many objects": drawn(16, images=2, objects=80),
    "one image": drawn(17, images=1, objects=3, extra=2),
    "nothing found": nothing_found(drawn(18)),
    "only crowds": drawn(19, crowds=1),
}


@pytest.mark.parametrize("name", CASES)
def test_coco_says_the_same(name: str) -> None:
    case = CASES[name]
    wanted, precisions = cocos(case)
    rows = joined(case.records)
    assert average_precisions(rows, len(NAMES)) == pytest.approx(precisions, abs=1e-9, nan_ok=True)
    if wanted["ap"] is None:
        with pytest.raises(PocketVisionError, match="nothing to measure"):
            measure(case.records, TASK, MeasureOptions())
        return
    found = measure(case.records, TASK, MeasureOptions()).figures
    assert list(found) == list(wanted)
    for figure, value in wanted.items():
        assert found[figure] == pytest.approx(value, abs=1e-9), figure


def test_weights_of_images_are_images_said_again() -> None:
    """A bootstrap's figure is that of a set in which images stand as often as they were drawn."""
    case, seed = drawn(3), 5
    records = case.records
    chosen = np.random.default_rng(seed).integers(0, len(records), (1000, len(records)))[7]
    again = joined([records[place] for place in sorted(chosen.tolist())])
    wanted = average_precisions(again, len(NAMES))
    assert resampled(joined(records), len(NAMES), seed)[7] == pytest.approx(wanted, abs=1e-9, nan_ok=True)


def test_difficult_objects_are_neither_asked_for_nor_counted() -> None:
    """As in VOC: one that is found is no false alarm, one that is not is not missed, and a second box on it is one."""
    case = drawn(5, crowds=0)
    truth = BoxLabels.of([([[0, 0, 40, 40], [60, 0, 100, 40]], [0, 0])], NAMES)
    truth.rows.columns["difficult"][1] = True
    boxes = np.array([[60.0, 0, 100, 40], [60, 0, 100, 39], [0, 0, 40, 40]])
    answer = Detections(NAMES, boxes, np.array([0.9, 0.8, 0.7]), np.zeros(3, np.int64))
    alone = measure(Case(truth, [answer]).records, TASK, MeasureOptions())
    assert (alone.objects, alone.per_class[0].at.misses, alone.per_class[0].at.false_alarms) == (1, 0, 1)
    assert alone.figures["ap50"] == pytest.approx(1 / 2)
    assert measure(case.records, TASK, MeasureOptions()).objects == len(case.truth.boxes)


def test_intervals_hold_the_figure_and_are_narrower_with_more_images() -> None:
    widths = []
    for images in (15, 120):
        found = measure(drawn(7, images=images).records, TASK, MeasureOptions())
        for name in ("ap", "ap50", "ap75"):
            interval, value = found.intervals[name], found.figures[name]
            assert interval is not None and value is not None and interval.low <= value <= interval.high
        interval = found.headline.interval
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[1] < 0.6 * widths[0]


def test_scores_are_honest_where_they_are_shares() -> None:
    """Detections that are right as often as their scores say, and the same with all scores halved."""
    generator, rows, found, halved = np.random.default_rng(0), [], list[Detections](), list[Detections]()
    for _ in range(200):
        scores = np.sort(generator.uniform(0.3, 1, 5))[::-1]
        boxes = np.arange(5)[:, None] * [50.0, 0, 50, 0] + [0, 0, 40, 40]
        right = generator.random(5) < scores
        rows.append((boxes[right], [0] * int(right.sum())))
        found.append(Detections(NAMES, boxes, scores, np.zeros(5, np.int64)))
        halved.append(Detections(NAMES, boxes, scores / 2, np.zeros(5, np.int64)))
    truth = BoxLabels.of(rows, NAMES)
    honest, shy = (measure(Case(truth, each).records, TASK, MeasureOptions()).scores for each in (found, halved))
    assert honest.error is not None and honest.error < 0.05
    assert shy.error is not None and shy.error == pytest.approx(0.4, abs=0.05)
    assert sum(each.count for each in honest.bins) == 1000


FOLDER = os.environ.get("POCKETVISION_BCCD")


@pytest.mark.skipif(FOLDER is None, reason="POCKETVISION_BCCD names no folder with Annotations in the form of VOC")
def test_coco_says_the_same_of_real_objects() -> None:
    """Blood cells that people drew, and detections near them."""
    names = ("Platelets", "RBC", "WBC")
    generator, rows, found = np.random.default_rng(0), [], list[Detections]()
    for file in sorted(Path(FOLDER or "").glob("Annotations/*.xml"))[:120]:
        objects = ElementTree.parse(file).getroot().findall("object")
        corners = ("xmin", "ymin", "xmax", "ymax")
        boxes = np.array([[float(each.findtext(f"bndbox/{side}", "0")) for side in corners] for each in objects])
        boxes = boxes.reshape(-1, 4)
        classes = np.array([names.index(each.findtext("name", "")) for each in objects], np.int64)
        real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        rows.append((boxes[real], classes[real].tolist()))
        near = np.repeat(np.flatnonzero(real), generator.integers(0, 3, int(real.sum())))
        moved = boxes[near] + np.round(generator.normal(0, 6, (len(near), 4)))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        scores = np.round(generator.random(len(near)), 2)
        order = np.argsort(-scores, kind="stable")
        found.append(Detections(names, moved[order], scores[order], classes[near][order]))
    case = Case(BoxLabels.of(rows, names), found)
    task = replace(TASK, labels=names)
    wanted, precisions = cocos(case)
    assert len(case.truth.boxes) > 1000
    assert average_precisions(joined(case.records), len(names)) == pytest.approx(precisions, abs=1e-9, nan_ok=True)
    figures = measure(case.records, task, MeasureOptions()).figures
    assert {name: figures[name] for name in FIGURES} == pytest.approx(wanted, abs=1e-9)
