"""A factor and an offset for every class: found where they help, left alone where they do not."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from pocketvision.export.shipping import _calibrated
from pocketvision.tasks.classification.calibration import calibration, reliability
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.classification.temperature import fit_temperature
from pocketvision.tasks.classification.vector_scaling import Scaling, _loss, _most_likely, fit_scaling, scaling_of

SCALES, OFFSETS = np.array([1.0, 0.5, 2.0]), np.array([0.0, 1.5, -1.5])


def drawn(images: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits whose softmax is honest once each class has its factor and its offset."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2, size=(images, 3)).astype(np.float32)
    shares = softmax(logits * SCALES + OFFSETS)
    labels = (generator.random((images, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return logits, labels


def test_by_hand() -> None:
    """Logits 2 and 0 at temperature 2 are 1 and 0; times 3 and 1, plus -1 and 1, 2 and 1."""
    scaling = Scaling(2.0, np.array([3.0, 1.0]), np.array([-1.0, 1.0]))
    logits = np.array([[2.0, 0.0]], np.float32)
    assert scaling.scaled(logits).tolist() == [[2.0, 1.0]]
    assert scaling.probabilities(logits)[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))
    again = scaling_of(json.loads(json.dumps(scaling.to_postprocessing())))
    assert np.array_equal(again.scaled(logits), scaling.scaled(logits))
    assert Scaling(2.0).to_postprocessing() == {"temperature": 2.0}
    assert scaling_of({}).temperature == 1 and scaling_of({}).scales is None


def test_newtons_method_finds_what_scipy_finds() -> None:
    logits, labels = drawn(300)
    start, values = np.r_[np.ones(3), np.zeros(3)], logits.astype(np.float64)
    found = np.r_[_most_likely(values, labels)]
    best = minimize(lambda numbers: _loss(numbers, start, values, labels), start, method="BFGS").x
    assert np.allclose(found, best, atol=1e-3)


def test_classes_that_are_off_on_their_own_get_their_own_scales() -> None:
    logits, labels = drawn(400)
    scaling = fit_scaling(logits, labels)
    assert scaling.scales is not None
    new, truth = drawn(4000, seed=1)
    alone = Scaling(fit_temperature(logits, labels))
    before, after = (reliability(each.probabilities(new), truth) for each in (alone, scaling))
    assert after.log_loss < 0.8 * before.log_loss and after.error < before.error
    honest = calibration(logits, scaling.probabilities(logits), labels, scaling=scaling, cross_fit=True)
    assert honest.by_class and honest.to_dict()["by_class"] is True
    flattering = reliability(scaling.probabilities(logits), labels)
    assert flattering.log_loss < honest.after.log_loss < honest.before.log_loss


def test_a_temperature_is_enough_where_held_out_images_do_not_gain() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(scale=2, size=(400, 3)).astype(np.float32)
    labels = (generator.random((400, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(0, 2)
    assert fit_scaling(3 * logits, labels).scales is None
    few, truth = drawn(29)  # fewer than ten a class
    assert fit_scaling(few, truth).to_postprocessing() == {"temperature": fit_temperature(few, truth)}
    assert fit_scaling(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)).temperature == 1
    assert fit_scaling(np.zeros((50, 1), np.float32), np.zeros(50, np.int64)).scales is None


def test_a_temperature_that_is_found_anew_leaves_no_scales_behind() -> None:
    task = classifying(("cat", "dog"))["classification"]
    by_class = _calibrated(task, Scaling(2.0, np.ones(2), np.zeros(2)).to_postprocessing())
    assert by_class.postprocessing == {"temperature": 2.0, "scales": [1.0, 1.0], "offsets": [0.0, 0.0]}
    assert _calibrated(by_class, {}).postprocessing == by_class.postprocessing  # nothing was found
    assert _calibrated(by_class, {"temperature": 3.0}).postprocessing == {"temperature": 3.0}
