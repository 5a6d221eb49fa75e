"""Balance: copies for small classes, weights for the loss."""

import numpy as np
import pytest

from pocketvision.data.balance import balance_plan, class_weights
from pocketvision.errors import UsageError

NAMES = ("cat", "dog", "owl")
LABELS = np.array([1, 0, 0, 2, 0, 1, 0, 0], dtype=np.int32)  # five cats, two dogs, one owl
COUNTS = np.bincount(LABELS, minlength=len(NAMES))


def test_every_class_reaches_the_target_and_none_loses() -> None:
    plan = balance_plan(LABELS, NAMES, 4, seed=0)
    assert (np.bincount(LABELS) + np.bincount(LABELS[plan.indices], minlength=3)).tolist() == [5, 4, 4]
    assert len(balance_plan(LABELS, NAMES, 1, seed=0)) == 0


def test_copies_go_round_and_are_numbered() -> None:
    plan = balance_plan(LABELS, NAMES, 7, seed=0)
    dogs = LABELS[plan.indices] == 1
    assert np.bincount(plan.indices[dogs], minlength=8)[[0, 5]].tolist() in ([3, 2], [2, 3])
    assert plan.numbers[LABELS[plan.indices] == 2].tolist() == [1, 2, 3, 4, 5, 6]
    assert len(set(zip(plan.indices.tolist(), plan.numbers.tolist(), strict=True))) == len(plan)
    assert plan.numbers.min() == 1


def test_the_seed_chooses_who_is_copied() -> None:
    labels = np.repeat([0, 1], [100, 110]).astype(np.int32)
    one, again, other = (balance_plan(labels, ("a", "b"), 120, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.indices, again.indices) and not np.array_equal(one.indices, other.indices)


def test_balance_that_can_not_be() -> None:
    with pytest.raises(UsageError, match="'owl' has no training image"):
        balance_plan(np.array([0, 1]), NAMES, 5, seed=0)
    with pytest.raises(UsageError, match="balanced to 0"):
        balance_plan(LABELS, NAMES, 0, seed=0)


def test_weights() -> None:
    assert class_weights(COUNTS, NAMES).tolist() == [1, 1, 1]
    assert class_weights(COUNTS, NAMES, {"dog": 2.0}).tolist() == [1, 2, 1]
    assert class_weights(COUNTS, NAMES).dtype == np.float32


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert np.allclose(class_weights(COUNTS, NAMES, "balanced"), expected)


def test_weights_that_can_not_be() -> None:
    with pytest.raises(UsageError, match=r"Unknown class 'dgo'\. Did you mean dog"):
        class_weights(COUNTS, NAMES, {"dgo": 2.0})
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="weight of class 'dog' is"):
            class_weights(COUNTS, NAMES, {"dog": weight})
    with pytest.raises(UsageError, match="'even' are unknown"):
        class_weights(COUNTS, NAMES, "even")  # type: ignore[arg-type]
