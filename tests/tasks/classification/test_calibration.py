import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from pocketvision.tasks.classification.calibration import calibration, cross_fitted_probabilities, log_loss, reliability
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.temperature import fit_temperature
from pocketvision.tasks.classification.vector_scaling import Scaling


def drawn(images: int, classes: int = 4, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits, and labels drawn from their softmax: perfectly calibrated."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2, size=(images, classes)).astype(np.float32)
    cumulative = softmax(logits).cumsum(axis=1)
    labels = (generator.random((images, 1)) > cumulative).sum(axis=1).clip(0, classes - 1)
    return logits, labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0, 5.0])
def test_the_temperature_undoes_a_scaling(factor: float) -> None:
    logits, labels = drawn(8000)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.05)


def test_the_temperature_minimises_its_objective() -> None:
    logits, labels = drawn(60, seed=2)
    logits = logits * 3

    def objective(u: float) -> float:
        return len(labels) * log_loss(labels, softmax(logits, float(np.exp(u)))) + u * u / 2

    best = minimize_scalar(objective, bounds=(-3, 3), method="bounded").x
    assert fit_temperature(logits, labels) == pytest.approx(np.exp(best), rel=1e-3)


def test_a_faultless_small_set_does_not_make_every_answer_certain() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 3.0], [2.5, 0.0]] * 4, np.float32)
    temperature = fit_temperature(logits, np.array([0, 1, 0] * 4))
    assert 0.3 < temperature < 1
    assert fit_temperature(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)) == 1.0


def test_no_row_sees_its_own_label_when_cross_fitted() -> None:
    logits, labels = drawn(40)
    before = cross_fitted_probabilities(logits, labels, seed=5)
    assert np.array_equal(before, cross_fitted_probabilities(logits, labels, seed=5))
    for row in range(3):
        changed = logits.copy()
        changed[row] *= 50
        after = cross_fitted_probabilities(changed, labels, seed=5)
        same_fold = np.isclose(before, after, atol=1e-7).all(axis=1)
        same_fold[row] = True
        assert 6 <= same_fold.sum() <= 10  # the row's own fold of 8; all others were fitted on it


def test_reliability_is_the_weighted_distance() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    found = reliability(probabilities, np.array([0, 1, 0, 1]))
    assert [(row.images, row.accuracy) for row in found.bins] == [(2, 1.0), (2, 0.5)]
    assert [row.confidence for row in found.bins] == pytest.approx([0.65, 0.95])
    assert found.error == pytest.approx(0.5 * 0.35 + 0.5 * 0.45)
    certain = reliability(np.array([[1.0, 0.0]]), np.array([0]))
    assert certain.error == 0.0 and certain.bins[0].high == 1.0


def test_scaling_helps_overconfident_logits_and_judges_them_honestly() -> None:
    logits, labels = drawn(500)
    overconfident = logits * 4
    temperature = fit_temperature(overconfident, labels)
    answers = softmax(overconfident, temperature)
    honest = calibration(overconfident, answers, labels, scaling=Scaling(temperature), cross_fit=True)
    flattering = calibration(overconfident, answers, labels, scaling=Scaling(temperature), cross_fit=False)
    assert honest.after.error < honest.before.error / 2
    assert honest.after.log_loss > flattering.after.log_loss
    assert honest.to_dict()["cross_fitted"] is True
