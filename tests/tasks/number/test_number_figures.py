"""The figures of numbers by hand; the scale, and an interval that holds what it says."""

import numpy as np
import pytest

from pocketvision.errors import PocketVisionError
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.number.calibration import COVERAGE, fit
from pocketvision.tasks.number.metrics import NumberMetrics, measure, r2
from pocketvision.tasks.number.mistakes import mistakes
from pocketvision.tasks.number.record import NumberRecord
from pocketvision.tasks.number.report.report import lean


def task(half_width: float | None = None) -> TaskManifest:
    interval = None if half_width is None else {"half_width": half_width, "coverage": 0.9, "images": 50}
    return TaskManifest("number", (), {}, "linear_number", {"unit": "cm", "interval": interval})


def records(values: list[float], truth: list[float]) -> list[NumberRecord]:
    return [NumberRecord(*each) for each in zip(values, truth, strict=True)]


def test_figures_by_hand() -> None:
    found = measure(records([1, 2, 5, 4], [1, 3, 3, 5]), task(1.5), MeasureOptions())
    assert isinstance(found, NumberMetrics)
    assert (found.mae, found.rmse, found.bias) == (1.0, pytest.approx(np.sqrt(6 / 4)), 0.0)
    assert found.r2 == pytest.approx(1 - 6 / 8) and found.mae_of_mean == 1.0
    assert (found.covered, found.half_width, found.wanted, found.unit) == (0.75, 1.5, 0.9, "cm")
    (worst,) = mistakes(records([1, 2, 5, 4], [1, 3, 3, 5]), ["a", "b", "c", "d"], task(1.5))
    assert (worst.path, worst.text, worst.badness) == ("c", "3 cm → 5", 2.0)


def test_numbers_that_are_no_better_than_the_mean_explain_nothing() -> None:
    truth = np.array([1.0, 2, 3, 4])
    assert r2(np.full(4, 2.5), truth) == 0 and r2(truth[::-1], truth) < 0 and r2(truth, truth) == 1
    assert r2(np.array([2.0, 2]), np.array([2.0, 2])) == 1 and r2(np.array([2.0, 3]), np.array([2.0, 2])) == 0
    with pytest.raises(PocketVisionError, match="answers that are not finite"):
        measure(records([float("nan")], [1]), task(), MeasureOptions())


def test_an_interval_holds_the_truth_of_new_images_as_often_as_it_says() -> None:
    """Errors with long tails, a scale that is off: over many draws, COVERAGE of new images at least, and hardly more."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(200):
        truth = rng.normal(50, 10, 1060)
        said = 0.4 * (truth - 50) / 10 + 0.3 * rng.standard_t(3, 1060)
        found = fit(said[:60], truth[:60], 50, 10)
        assert found.half_width is not None and found.images == 60
        inside.append((np.abs(found.scale * said[60:] + found.offset - truth[60:]) <= found.half_width).mean())
    assert COVERAGE - 0.005 < np.mean(inside) < COVERAGE + 0.03


def test_the_line_is_fitted_and_few_images_keep_what_is_expected() -> None:
    truth = np.linspace(0, 100, 200)
    found = fit((truth - 30) / 40, truth, 50, 25)
    assert (found.scale, found.offset) == (pytest.approx(40, rel=0.03), pytest.approx(30, abs=0.7))
    few = fit(np.array([0.0]), np.array([75.0]), 50, 25)
    assert few.scale == pytest.approx(25) and 50 < few.offset < 75
    assert few.half_width is None  # nine images are needed to say where nine of ten lie
    assert fit(np.zeros(8), np.arange(8.0), 0, 1).half_width is None
    assert fit(np.zeros(9), np.arange(9.0), 0, 1).half_width is not None


def test_answers_that_lean_to_the_middle_are_seen() -> None:
    truth = np.arange(10.0)
    low, high = lean(0.5 * truth + 2.25, truth)
    assert low == pytest.approx(2.0) and high == pytest.approx(-2.0)
