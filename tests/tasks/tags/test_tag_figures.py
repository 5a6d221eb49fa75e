"""The figures of tags by hand and against scikit-learn; scales and thresholds that validation images choose."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score

from pocketvision.errors import PocketVisionError
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.tags.calibration import best_thresholds, cross_entropy, fit_scales, sigmoid
from pocketvision.tasks.tags.metrics import TagMetrics, average_precisions, measure
from pocketvision.tasks.tags.record import TagRecord
from pocketvision.tasks.tags.report.report import pairs_of, weakest_first
from pocketvision.tasks.thresholds import Wish

NAMES = ("sky", "boat", "dog")


def drawn(images: int = 80, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities, equal ones among them, that know something of the marks."""
    rng = np.random.default_rng(seed)
    marks = rng.random((images, 3)) < (0.6, 0.3, 0.1)
    return np.round((0.35 * marks + 0.6 * rng.random((images, 3))), 2), marks


def measured(shares: NDArray[np.float64], marks: NDArray[np.bool_], thresholds: dict[str, float]) -> TagMetrics:
    said = shares >= [thresholds.get(name, 0.5) for name in NAMES]
    records = [TagRecord(share.astype(np.float32), *rows) for share, *rows in zip(shares, said, marks, strict=True)]
    return measure(
        records, TaskManifest("tags", NAMES, {}, "linear_tags", {"thresholds": thresholds}), MeasureOptions()
    )


def test_average_precision_is_scikit_learns_also_of_images_drawn_again() -> None:
    shares, marks = drawn()
    weights = np.random.default_rng(1).integers(0, 3, (4, len(marks)))
    found = average_precisions(shares, marks, weights)
    for row, times in zip(found, weights, strict=True):
        expected = [average_precision_score(marks[:, tag], shares[:, tag], sample_weight=times) for tag in range(3)]
        np.testing.assert_allclose(row, expected, atol=1e-12)
    assert np.isnan(average_precisions(shares, np.zeros_like(marks), weights)).all()


def test_figures_are_those_of_the_decisions() -> None:
    shares, marks = drawn()
    thresholds = {"sky": 0.5, "boat": 0.4, "dog": 0.7}
    found = measured(shares, marks, thresholds)
    said = shares.astype(np.float32) >= [0.5, 0.4, 0.7]
    assert found.f1_micro == pytest.approx(f1_score(marks, said, average="micro"))
    assert found.f1_macro == pytest.approx(f1_score(marks, said, average="macro"))
    assert found.exact == (said == marks).all(axis=1).mean()
    assert found.mean_average_precision == pytest.approx(
        np.mean([average_precision_score(marks[:, tag], shares[:, tag]) for tag in range(3)])
    )
    assert found.interval is not None and found.interval.low < found.mean_average_precision < found.interval.high
    boat = found.per_tag[1]
    assert (boat.support, boat.said) == (int(marks[:, 1].sum()), int(said[:, 1].sum()))
    assert boat.precision == pytest.approx((marks & said)[:, 1].sum() / said[:, 1].sum())
    assert boat.recall == pytest.approx((marks & said)[:, 1].sum() / marks[:, 1].sum())


def test_which_tags_go_together_is_counted() -> None:
    marks = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], np.bool_)
    shares = np.where(marks, 0.9, 0.1)
    shares[0, 1] = 0.2
    found = measured(shares, marks, {})
    assert found.together.tolist() == [[3, 2, 0], [2, 2, 0], [0, 0, 1]]
    (pair,) = pairs_of(found)
    assert (pair.one, pair.other, pair.together, pair.by_chance, pair.said) == ("sky", "boat", 2, 3 * 2 / 5, 1)


def test_a_tag_of_no_image_is_in_no_mean_and_no_tag_at_all_can_not_be_measured() -> None:
    shares, marks = drawn()
    marks[:, 2] = False
    found = measured(shares, marks, {})
    assert found.per_tag[2].average_precision is None and weakest_first(found)[-1].name == "dog"
    assert found.mean_average_precision == pytest.approx(
        np.mean([each.average_precision for each in found.per_tag[:2] if each.average_precision is not None])
    )
    with pytest.raises(PocketVisionError, match="None of the 80 images has any tag"):
        measured(shares, np.zeros_like(marks), {})


def test_scales_make_probabilities_as_often_right_as_they_say() -> None:
    """Logits that are three times too large and shifted, as a loss with positive weights leaves them."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (4000, 2))
    marks = rng.random((4000, 2)) < sigmoid(true)
    scales, offsets = fit_scales(3 * true + (2, -4), marks)
    np.testing.assert_allclose(scales, 1 / 3, rtol=0.08)
    np.testing.assert_allclose(offsets, (-2 / 3, 4 / 3), atol=0.15)
    assert cross_entropy((3 * true + (2, -4)) * scales + offsets, marks) < cross_entropy(3 * true, marks)


def test_few_images_keep_scales_near_one() -> None:
    scales, offsets = fit_scales(np.array([[30.0], [-30.0]]), np.array([[True], [False]]))
    assert 0.2 < scales[0] < 1.5 and abs(offsets[0]) < 1
    none = fit_scales(np.zeros((0, 2)), np.zeros((0, 2), np.bool_))
    np.testing.assert_array_equal(none, [[1, 1], [0, 0]])


def test_thresholds_are_those_of_the_best_f1() -> None:
    shares, marks = drawn(60)
    found = best_thresholds(shares, marks, Wish("f1"))
    for tag in range(3):
        best = max(f1_score(marks[:, tag], shares[:, tag] >= cut) for cut in np.unique(shares[:, tag]))
        assert f1_score(marks[:, tag], shares[:, tag] >= found[tag]) == pytest.approx(best)
    assert best_thresholds(shares, np.zeros_like(marks), Wish("f1")).tolist() == [0.5] * 3
