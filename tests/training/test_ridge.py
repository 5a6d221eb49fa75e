"""Ridge in closed form, against refits of its own definition in double precision."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.training.ridge import Ridge, solve_ridge

Floats = NDArray[np.float64]


def _data(count: int, size: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], Floats]:
    """Features of unequal spread and mean, targets that depend on some of them, and row weights."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, size)) * rng.uniform(0.1, 5, size) + rng.uniform(-3, 3, size)
    targets = features[:, :3] @ rng.standard_normal((3, 2)) + 0.5 * rng.standard_normal((count, 2)) + 4
    return features.astype(np.float32), targets.astype(np.float32), rng.uniform(0.2, 3, count)


def _refit(features: Floats, targets: Floats, weights: Floats, kept: NDArray[np.bool_], strength: float) -> Floats:
    """Predictions (n, k) of the fit on the kept rows alone, by the normal equations with a bias column.

    What is standardised and how much is penalised come from all rows, as solve_ridge says.
    """
    weights = weights / weights.mean()
    centre = np.average(features, axis=0, weights=weights)
    spread = np.sqrt(np.average((features - centre) ** 2, axis=0, weights=weights))
    least = 0.1 * np.median(spread[spread > 1e-12])
    scaled = (features - centre) / np.where(spread > 1e-12, np.maximum(spread, least), np.inf)
    penalty = strength * (weights[:, None] * scaled**2).sum() / min(features.shape)
    columns = np.hstack([scaled, np.ones((len(scaled), 1))])
    penalties = np.diag([penalty] * features.shape[1] + [0.0])
    a, w = columns[kept], weights[kept, None]
    solution = np.linalg.solve(a.T @ (w * a) + penalties, a.T @ (w * targets[kept]))
    return np.asarray(columns @ solution)


def _as_doubles(*arrays: NDArray[np.float32]) -> list[Floats]:
    return [each.astype(np.float64) for each in arrays]


@pytest.mark.parametrize(("count", "size"), [(40, 6), (12, 30), (20, 20)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_predictions_are_those_of_refits(count: int, size: int, weighted: bool, grouped: bool) -> None:
    features, targets, drawn = _data(count, size)
    weights = drawn if weighted else np.ones(count)
    groups = np.random.default_rng(1).integers(0, 5, count) if grouped else None
    found = solve_ridge(features, targets, row_weights=weights if weighted else None, groups=groups, strengths=[0.1])
    numbers = np.arange(count) if groups is None else groups
    doubles = _as_doubles(features, targets)
    expected = np.empty((count, 2))
    for number in np.unique(numbers):
        out = numbers == number
        expected[out] = _refit(*doubles, weights, ~out, 0.1)[out]
    np.testing.assert_allclose(found.left_out, expected, atol=2e-3)
    whole = _refit(*doubles, weights, np.ones(count, np.bool_), 0.1)
    np.testing.assert_allclose(features @ found.weights + found.bias, whole, atol=2e-3)
    assert np.abs(found.left_out - whole).max() > 0.05  # leaving out matters here


def test_the_strength_of_lowest_left_out_loss_is_chosen() -> None:
    features, targets, _ = _data(30, 25)
    found = solve_ridge(features, targets)
    alone = {each: solve_ridge(features, targets, strengths=[each]) for each in found.losses}
    assert {each: ridge.loss for each, ridge in alone.items()} == pytest.approx(found.losses, rel=1e-5)
    assert found.strength == min(found.losses, key=found.losses.__getitem__)
    assert found.loss == pytest.approx(float(((found.left_out - targets) ** 2).mean()), rel=1e-5)
    assert len({round(each, 6) for each in found.losses.values()}) > 10
    np.testing.assert_array_equal(found.left_out, alone[found.strength].left_out)


def test_another_loss_chooses_another_strength() -> None:
    features, targets, _ = _data(30, 25)
    strongest = solve_ridge(features, targets, loss=lambda predicted: float(predicted.std(0).sum()))
    assert strongest.strength > 10 * solve_ridge(features, targets).strength


def test_rows_of_double_weight_count_as_two() -> None:
    features, targets, _ = _data(20, 5)
    twice = np.concatenate([np.arange(20), np.arange(6)])
    weights = np.where(np.arange(20) < 6, 2.0, 1.0)
    weighted = solve_ridge(features, targets, row_weights=weights, strengths=[0.1])
    repeated = solve_ridge(features[twice], targets[twice], groups=twice, strengths=[0.1])
    np.testing.assert_allclose(weighted.weights, repeated.weights, atol=1e-3)
    np.testing.assert_allclose(weighted.bias, repeated.bias, atol=1e-2)
    np.testing.assert_allclose(weighted.left_out, repeated.left_out[:20], atol=2e-3)


def test_constant_and_repeated_features_harm_nothing() -> None:
    features, targets, _ = _data(30, 4)
    more = np.hstack([features, np.full((30, 1), 7.3, np.float32), np.zeros((30, 1), np.float32), features[:, :1]])
    found = solve_ridge(more.astype(np.float32), targets)
    assert np.isfinite(found.left_out).all()
    assert not found.weights[4:6].any()
    np.testing.assert_allclose(found.weights[0], found.weights[6], atol=1e-3)
    nothing = solve_ridge(np.full((30, 3), 5, np.float32), targets)
    assert not nothing.weights.any()
    np.testing.assert_allclose(nothing.bias, targets.mean(0), rtol=1e-5)
    np.testing.assert_allclose(nothing.left_out[0], targets[1:].mean(0), rtol=1e-4)


def test_a_feature_that_is_silent_in_training_does_not_shout_later() -> None:
    """ReLU channels are 0 on nearly every picture of a small set; on a new one they may be a thousand deviations off."""
    features, targets, _ = _data(60, 8)
    features[:, 5] = 0
    features[7, 5] = 1e-3
    found = solve_ridge(features, targets)
    new = features[:1].copy()
    quiet = new @ found.weights
    new[0, 5] = 1.0
    assert np.abs(new @ found.weights - quiet).max() < 0.5 * targets.std()


def test_a_class_of_one_row_is_predicted_without_it() -> None:
    features, _, _ = _data(12, 5)
    targets = np.zeros((12, 3), np.float32)
    targets[:6, 0] = targets[6:11, 1] = targets[11, 2] = 1
    found = solve_ridge(features, targets)
    assert abs(found.left_out[11, 2]) < 1e-3
    targets[11] = 0
    np.testing.assert_allclose(solve_ridge(features, targets).bias[2], 0, atol=1e-6)  # a class of none


def test_features_far_from_zero_keep_their_variation() -> None:
    features, targets, _ = _data(40, 5)
    near, far = (solve_ridge(each, targets, strengths=[0.1]) for each in (features, features + np.float32(500)))
    np.testing.assert_allclose(far.left_out, near.left_out, atol=0.02)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"targets": np.zeros((9, 2), np.float32)}, "expected \\(n, d\\) and \\(n, k\\)"),
        ({"features": np.full((10, 3), np.nan, np.float32)}, "finite"),
        ({"row_weights": np.zeros(10)}, "above 0"),
        ({"groups": np.zeros(10, np.int64)}, "two rows, or groups"),
        ({"groups": np.zeros(9, np.int64)}, "each of 10 rows"),
        ({"strengths": []}, "no strength"),
    ],
)
def test_what_can_not_be_solved_is_said(changed: dict[str, object], reason: str) -> None:
    features, targets, _ = _data(10, 3)
    with pytest.raises(ValueError, match=reason):
        solve_ridge(**{"features": features, "targets": targets, **changed})  # type: ignore[arg-type]


def test_the_same_numbers_twice() -> None:
    features, targets, _ = _data(25, 8)
    one, other = (solve_ridge(features, targets) for _ in range(2))
    assert isinstance(one, Ridge)
    np.testing.assert_array_equal(one.weights, other.weights)
