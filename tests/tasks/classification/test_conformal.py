"""Sets of classes that hold the true one as often as was asked."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.conformal import calibrated, set_figures, with_sets
from pocketvision.tasks.classification.decode import classify, softmax
from pocketvision.tasks.classification.record import ClassRecord, stacked
from pocketvision.tasks.classification.sets import ConformalSets
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.classification.wire import WIRE
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Detail

LABELS = ("cat", "dog", "fox")
PLAIN = classifying(LABELS)["classification"]


def records_of(probabilities: np.ndarray, labels: np.ndarray) -> list[ClassRecord]:
    return [
        ClassRecord(np.log(row + 1e-9), row, label) for row, label in zip(probabilities, labels.tolist(), strict=True)
    ]


def a_task(least: float) -> TaskManifest:
    sets = {"coverage": 0.9, "least": least, "images": 100}
    return replace(PLAIN, postprocessing={"conformal": sets})


def test_the_quantile_by_hand() -> None:
    """Of 9 images and 80 %, ceil(10 x 0.8) = 8 have to be held: the eighth largest probability of a true class."""
    of_truth = np.array([0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.5, 0.4])
    assert calibrated(of_truth, 0.8) == ConformalSets(0.8, 0.2, 9)
    assert calibrated(of_truth, 0.9).least == 0.1
    with pytest.raises(
        UsageError, match=r"--coverage 0\.95 takes at least 19 labelled images to calibrate on; there are 9"
    ):
        calibrated(of_truth, 0.95)


def test_nine_in_ten_sets_hold_the_true_class() -> None:
    """The mean over 20 splits of overconfident answers, calibrated on 300 images each, as the theorem says."""
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 3, 2000)
    logits = numbers.normal(size=(2000, 3)) + 1.2 * np.eye(3)[labels]
    probabilities, found = softmax(4 * logits), []
    for _ in range(20):
        order = numbers.permutation(2000)
        own, new = (records_of(probabilities[rows], labels[rows]) for rows in (order[:300], order[300:]))
        figures = set_figures(stacked(new), with_sets(own, PLAIN, 0.9))
        assert figures is not None and figures.classes > 1
        found.append(figures.covered)
    assert 0.88 < np.mean(found) < 0.92


def test_what_is_answered() -> None:
    probabilities = np.array([[0.9, 0.06, 0.04], [0.5, 0.1, 0.4], [0.34, 0.33, 0.33]], np.float32)
    one, two, none = classify({"probabilities": probabilities}, [], a_task(0.35), Detail())
    assert [each.prediction_set for each in (one, two, none)] == [("cat",), ("cat", "fox"), ()]
    assert [each.unsure for each in (one, two, none)] == [False, True, True]
    assert [each.headline for each in (one, two, none)] == ["cat 90%", "cat 50% or fox", "none of these (cat 34%)"]
    detail = Detail(unsure=True, sets=True, top_k=1)
    assert WIRE.columns(detail) == ["label", "probability", "unsure", "prediction_set"]
    assert [WIRE.cells(each, detail)[-2:] for each in (one, two, none)] == [
        ["false", "cat"],
        ["true", "cat; fox"],
        ["true", ""],
    ]
    for each in (one, two, none):
        told = json.loads(json.dumps(WIRE.to_json(each, Detail())))
        again = WIRE.from_json(told)
        assert (again.prediction_set, again.unsure, again.headline) == (each.prediction_set, each.unsure, each.headline)
    with pytest.raises(ValueError, match="prediction_set"):
        WIRE.from_json({**told, "prediction_set": "cat"})
    assert Classification(LABELS, probabilities[0]).prediction_set is None


def test_figures_by_hand() -> None:
    probabilities = np.array([[0.9, 0.06, 0.04], [0.5, 0.1, 0.4], [0.34, 0.33, 0.33], [0.1, 0.8, 0.1]], np.float32)
    figures = set_figures(stacked(records_of(probabilities, np.array([0, 2, 1, 0]))), a_task(0.35))
    assert figures is not None
    assert (figures.covered, figures.classes, figures.single, figures.empty) == (0.5, 1.0, 0.5, 0.25)
    assert figures.text.startswith("sets hold the true class in 50.0% (95 %: ")


@pytest.mark.parametrize(
    "told", [0.9, {"coverage": 0.9}, {"coverage": 0.9, "least": "much"}, {"coverage": 2, "least": 0}]
)
def test_what_is_no_set_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match="expected coverage and least"):
        ConformalSets.of(replace(PLAIN, postprocessing={"conformal": told}))
