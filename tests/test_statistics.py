import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pocketvision.statistics import bootstrap_areas, bootstrap_confusion, bootstrap_means, percentile_interval, wilson


def test_wilson_gives_published_bounds() -> None:
    interval = wilson(81, 263)  # Newcombe 1998, table I, method 3
    assert interval is not None
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)
    none_of_twenty = wilson(0, 20)
    assert none_of_twenty is not None
    assert (none_of_twenty.low, round(none_of_twenty.high, 4)) == (0.0, 0.1611)
    assert wilson(0, 0) is None


def test_resampling_the_matrix_is_resampling_the_images() -> None:
    generator = np.random.default_rng(0)
    labels, guesses = generator.integers(0, 3, 400), generator.integers(0, 3, 400)
    guesses[:200] = labels[:200]
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (labels, guesses), 1)
    found = bootstrap_confusion(confusion, lambda hits, support, _: {"recall": hits[:, 1] / support[:, 1]}, seed=1)[
        "recall"
    ]
    drawn = generator.integers(0, 400, (3000, 400))
    hits = ((labels[drawn] == 1) & (guesses[drawn] == 1)).sum(axis=1)
    expected = percentile_interval(hits / (labels[drawn] == 1).sum(axis=1))
    assert found is not None and expected is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.012)


def test_area_interval_matches_a_plain_bootstrap_with_ties() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 120)
    scores = np.round(generator.normal(labels, 1.2), 1)
    found = bootstrap_areas(labels, np.stack([-scores, scores], axis=1), [1], seed=3)
    drawn = generator.integers(0, 120, (800, 120))
    areas = np.array([roc_auc_score(labels[rows], scores[rows]) for rows in drawn])
    expected = percentile_interval(areas)
    area, precision = found["roc_auc"], found["average_precision"]
    assert area is not None and expected is not None and precision is not None
    assert (area.low, area.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    precisions = percentile_interval(np.array([average_precision_score(labels[rows], scores[rows]) for rows in drawn]))
    assert precisions is not None
    assert (precision.low, precision.high) == pytest.approx((precisions.low, precisions.high), abs=0.02)


def test_too_much_to_resample_has_no_interval_and_costs_no_time() -> None:
    started = time.perf_counter()
    labels, scores = np.zeros(100_000, np.int64), np.zeros((100_000, 2))
    assert bootstrap_areas(labels, scores, [0, 1] * 50, seed=0) == {"roc_auc": None, "average_precision": None}
    assert time.perf_counter() - started < 1


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(3, 2, (400, 2))
    found = bootstrap_means(values, seed=1)
    for interval, column in zip(found, values.T, strict=True):
        assert interval is not None
        half = 1.96 * column.std() / 20
        assert (interval.low, interval.high) == pytest.approx((column.mean() - half, column.mean() + half), abs=0.03)
    assert bootstrap_means(np.ones((5, 1)), seed=0) == [None]
