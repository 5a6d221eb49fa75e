"""Thresholds of classes: the best F1 of all there are, and wishes."""

from dataclasses import replace

import numpy as np
import pytest
from coco_cases import NAMES, TASK, drawn

from pocketvision.errors import UsageError
from pocketvision.tasks.detection.choosing import best_thresholds, choose_thresholds, points
from pocketvision.tasks.detection.metrics import measure
from pocketvision.tasks.detection.record import decided
from pocketvision.tasks.manifest import THRESHOLDS, TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.thresholds import UnmetWishError, Wish

RECORDS = drawn(1, images=20).records


def shipped(**thresholds: float) -> TaskManifest:
    return replace(TASK, postprocessing={THRESHOLDS: thresholds})


def test_no_other_threshold_has_a_better_f1() -> None:
    best = best_thresholds(RECORDS, NAMES)
    assert set(best) == set(NAMES)
    chosen = points(RECORDS, shipped(**best))
    for threshold in np.linspace(0, 1, 101).tolist():
        other = points(RECORDS, shipped(**dict.fromkeys(NAMES, threshold)))
        for name in NAMES:
            assert (chosen[name].f1 or 0) >= (other[name].f1 or 0) - 1e-12


def test_points_count_what_is_shown() -> None:
    """As the answers with that threshold do, image by image."""
    task = shipped(ant=0.2, bee=0.6, cow=0.9)
    for each in decided(RECORDS, task):
        least = np.array([0.2, 0.6, 0.9], np.float32)[each.found.classes]
        assert (each.said == (each.found.scores >= least)).all()
    metrics = measure(decided(RECORDS, task), task, MeasureOptions())
    for figures in metrics.per_class:
        assert figures.at.hits + figures.at.misses == figures.objects
        assert figures.at == points(RECORDS, task)[figures.name]


def test_wishes_are_met_class_by_class_or_refused() -> None:
    task = choose_thresholds(RECORDS, TASK, [Wish("f1"), Wish("precision", 0.9, "bee"), Wish("at", 0.25, "cow")])
    kept = task.postprocessing[THRESHOLDS]
    assert kept["ant"] == best_thresholds(RECORDS, ["ant"])["ant"] and kept["cow"] == 0.25
    assert (points(RECORDS, task)["bee"].precision or 0) >= 0.9
    assert task.postprocessing["thresholds_for"] == {"wish": "f1, bee:precision=0.9, cow:at=0.25", "images": 20}
    with pytest.raises(UnmetWishError, match=r"recall=0\.99 can not be met: the highest recall for .ant."):
        choose_thresholds(RECORDS, TASK, [Wish("recall", 0.99, "ant")])
    with pytest.raises(UsageError, match="Unknown class 'antt'"):
        choose_thresholds(RECORDS, TASK, [Wish("f1", of="antt")])
    with pytest.raises(UsageError, match="Two wishes"):
        choose_thresholds(RECORDS, TASK, [Wish("f1"), Wish("at", 0.5)])
    with pytest.raises(UsageError, match="positive class"):
        choose_thresholds(RECORDS, TASK, [Wish("f1")], "ant")


def test_a_class_that_nobody_has_keeps_its_threshold() -> None:
    names = (*NAMES, "dog")
    task = TaskManifest("detection", names, TASK.outputs)
    assert "dog" not in best_thresholds(RECORDS, names)
    assert choose_thresholds(RECORDS, task, [Wish("f1")]).postprocessing[THRESHOLDS]["dog"] == 0.3
    with pytest.raises(UnmetWishError, match="none of 20 images"):
        choose_thresholds(RECORDS, task, [Wish("f1", of="dog")])
