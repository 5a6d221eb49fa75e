import time

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import average_precision_score, roc_auc_score

from pocketvision.statistics import (
    bootstrap_areas,
    bootstrap_confusion,
    bootstrap_means,
    paired_bootstrap,
    percentile_interval,
    wilson,
)


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


def test_the_p_value_of_a_paired_bootstrap_counts_what_is_at_or_beyond_zero() -> None:
    one, other = np.linspace(1, 1000, 1000) - 24.5, np.zeros(1000)  # 24 below 0
    found = paired_bootstrap(one, other, 50)
    assert found is not None and found.p == pytest.approx(2 * 25 / 1001) and found.resamples == 1000
    back = paired_bootstrap(other, one, 50)
    assert back is not None and back.p == found.p
    assert (back.interval.low, back.interval.high) == pytest.approx((-found.interval.high, -found.interval.low))
    # It is 5 % where the interval reaches 0.
    for below, significant in ((20, True), (24, True), (25, False), (30, False)):
        test = paired_bootstrap(np.linspace(1, 1000, 1000) - below - 0.5, other, 50)
        assert test is not None and (test.p < 0.05) == significant == (test.interval.low > 0)


def test_a_paired_bootstrap_says_no_more_than_its_images() -> None:
    always, never = np.ones(1000), np.zeros(1000)
    few, many, same = (
        paired_bootstrap(*each) for each in ((always, never, 3), (always, never, 99), (never, never, 99))
    )
    assert few is not None and few.p == 0.25
    assert many is not None and many.p == pytest.approx(2 / 1001)
    assert same is not None and same.p == 1
    undefined = np.where(np.arange(1000) < 900, np.nan, 1.0)
    assert paired_bootstrap(undefined, never, 99) is None
    half = paired_bootstrap(np.where(np.arange(1000) < 500, np.nan, 1.0), never, 99)
    assert half is not None and half.resamples == 500


def test_of_means_it_is_close_to_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    for shift in (0.1, 0.25, 0.35):
        one, other = random.normal(size=(2, 80))
        one = other + 0.4 * one + shift / 3
        drawn = random.integers(0, 80, (4000, 80))
        found = paired_bootstrap(one[drawn].mean(axis=1), other[drawn].mean(axis=1), 80)
        assert found is not None and found.p == pytest.approx(ttest_rel(one, other).pvalue, rel=0.35, abs=0.01)
