"""95 % confidence intervals: Wilson's for shares, Bonett and Price's for paired ones, the bootstrap's for what has no formula."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

# The normal distribution's quantile for a two-sided 95 % interval.
Z = 1.959963984540054
RESAMPLES = 1000
_TAIL = 0.025
# A percentile of fewer resamples than this says little, and drawing more would take minutes on a large set, whose
# interval is narrow anyway: there is no interval then.
FEWEST_RESAMPLES = 200
# Memory and time: numbers held at once (32 MB an array), and drawn in all.
_NUMBERS_AT_ONCE = 4_000_000
_NUMBERS_IN_ALL = 1_000_000_000

Counts = NDArray[np.int64]
FiguresOf = Callable[[Counts, Counts, Counts], dict[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class Interval:
    """The lower and upper bound of a 95 % confidence interval, both in the figure's own unit."""

    low: float
    high: float


@dataclass(frozen=True)
class Headline:
    """The one figure of many that people compare. name: in words, as in "accuracy". value: at most 1, the
    more the better."""

    name: str
    value: float
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """As in "97.1% (95 %: 90.2% to 99.2%)"."""
        bounds = "" if self.interval is None else f" (95 %: {self.interval.low:.1%} to {self.interval.high:.1%})"
        return f"{self.value:.1%}{bounds}"


def wilson(hits: int, trials: int) -> Interval | None:
    """Wilson's score interval of the share hits / trials (Wilson 1927); None without trials.

    Unlike the textbook interval it stays within [0, 1] and keeps a width when every trial is a hit.
    """
    if trials == 0:
        return None
    share = hits / trials
    scale = 1 + Z * Z / trials
    centre = (share + Z * Z / (2 * trials)) / scale
    half_width = Z * sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials)) / scale
    return Interval(max(0.0, centre - half_width), min(1.0, centre + half_width))


def paired_drop(lost: int, gained: int, images: int) -> Interval:
    """The 95 % interval, in percentage points, of (lost - gained) / images for paired answers: of `images`, `lost` are right in
    the reference only and `gained` in the candidate only.

    Bonett and Price's (2012) adjustment of Wald's interval: an answer is added to both kinds, which keeps it honest for few
    images and gives it a width when nothing changed.
    """
    lost_adjusted, gained_adjusted, total = lost + 1, gained + 1, images + 2
    difference = (lost_adjusted - gained_adjusted) / total
    spread = sqrt(max((lost_adjusted + gained_adjusted) / total - difference**2, 0) / total)
    return Interval(100 * max(-1.0, difference - Z * spread), 100 * min(1.0, difference + Z * spread))


def mcnemar(only_one: int, only_other: int) -> float:
    """The p-value of McNemar's exact test (1947) that two models are as good: of the images that one alone gets right, `only_one`
    are the first's and `only_other` the second's; two-sided, by the binomial distribution."""
    pairs = only_one + only_other
    logarithms = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, pairs + 1)))])  # of the factorials
    fewer = np.arange(min(only_one, only_other) + 1)
    terms = logarithms[pairs] - logarithms[fewer] - logarithms[pairs - fewer] - pairs * np.log(2)
    return float(min(1.0, 2 * np.exp(terms).sum()))


@dataclass(frozen=True)
class PairedBootstrap:
    """Of one figure less another of the same images, drawn together. p: two-sided, that the two are the same; interval: of the
    difference; both as paired_bootstrap tells. resamples: in which both figures are defined."""

    p: float
    interval: Interval
    resamples: int


def paired_bootstrap(one: NDArray[np.float64], other: NDArray[np.float64], images: int) -> PairedBootstrap | None:
    """Two figures of the same draws of `images` images, (resamples) each; None of fewer than FEWEST_RESAMPLES that are defined.

    Of R differences the interval ends at the k-th smallest and the k-th largest, k = 0.025 (R + 1) rounded down. p is the level
    at which such an interval just reaches 0 (Efron and Tibshirani 1993, 15.4): twice the smaller share of the differences at or
    beyond 0, one more counted on either side (Davison and Hinkley 1997, 4.2), at most 1. It is at least 2 / 2**images: no test
    that changes the signs of so many pairs tells more.
    """
    differences = one - other
    differences = differences[np.isfinite(differences)]
    count = len(differences)
    if count < FEWEST_RESAMPLES:
        return None
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    p = max(2 * (1 + beyond) / (1 + count), 2.0 ** (1 - images))
    ranked, place = np.sort(differences), int((1 + count) * _TAIL)
    return PairedBootstrap(min(p, 1.0), Interval(float(ranked[place - 1]), float(ranked[-place])), count)


def percentile_interval(figures: NDArray[np.float64]) -> Interval | None:
    """The middle 95 % of a figure over resamples (resamples,); NaN marks a resample in which it is undefined.

    None when too few are defined, or when all are equal: a resample of nothing but hits can not show how large the
    error might be, and an interval of no width would claim certainty.
    """
    defined = figures[np.isfinite(figures)]
    if len(defined) < FEWEST_RESAMPLES or np.ptp(defined) == 0:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(float(low), float(high))


def bootstrap_confusion(confusion: NDArray[np.int64], figures: FiguresOf, *, seed: int) -> dict[str, Interval | None]:
    """The interval of each of `figures` under RESAMPLES resamplings of the images behind `confusion`.

    Resampling n images with replacement is drawing the cells of their confusion matrix from a multinomial
    distribution. confusion: (classes, classes) counts, rows true. figures: takes hits, support and predicted, each
    (resamples, classes) counts, and returns named figures, each (resamples,).
    """
    rows, columns = np.nonzero(confusion)
    counts = confusion[rows, columns]
    images, classes = int(counts.sum()), len(confusion)
    generator = np.random.default_rng(seed)
    parts: list[dict[str, NDArray[np.float64]]] = []
    for size in _chunks(RESAMPLES, max(len(counts), classes)):
        drawn = generator.multinomial(images, counts / images, size=size).T
        hits, support, predicted = (np.zeros((classes, size), np.int64) for _ in range(3))
        np.add.at(support, rows, drawn)
        np.add.at(predicted, columns, drawn)
        hits[rows[rows == columns]] = drawn[rows == columns]
        parts.append(figures(hits.T, support.T, predicted.T))
    return {name: percentile_interval(np.concatenate([part[name] for part in parts])) for name in parts[0]}


def bootstrap_means(values: NDArray[np.float64], *, seed: int) -> list[Interval | None]:
    """The interval of the mean of each column of `values` (n, columns), n >= 1, the same images drawn for all of them."""
    images = len(values)
    generator, parts = np.random.default_rng(seed), list[NDArray[np.float64]]()
    for size in _chunks(RESAMPLES, images * values.shape[1]):
        parts.append(values[generator.integers(0, images, size=(size, images))].mean(axis=1))
    return [percentile_interval(column) for column in np.concatenate(parts).T]


def bootstrap_areas(
    labels: NDArray[np.int64], scores: NDArray[np.float64], columns: Sequence[int], *, seed: int
) -> dict[str, Interval | None]:
    """The intervals of `roc_auc`, the area under the ROC curve, and of `average_precision`, each averaged over the classes in
    `columns`, one against the rest.

    labels: (n,) true classes. scores: (n, classes) probabilities.
    None when there are too many numbers to resample (see FEWEST_RESAMPLES).
    """
    images = len(labels)
    resamples = min(RESAMPLES, _NUMBERS_IN_ALL // (images * len(columns)))
    if resamples < FEWEST_RESAMPLES:
        return {"roc_auc": None, "average_precision": None}
    generator = np.random.default_rng(seed)
    ranked = [_RankedScores.of(labels == column, scores[:, column]) for column in columns]
    parts: list[NDArray[np.float64]] = []
    for size in _chunks(resamples, images):
        drawn = generator.integers(0, images, size=(size, images))
        drawn += np.arange(size)[:, None] * images
        weights = np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images)
        parts.append(np.mean([problem.areas(weights) for problem in ranked], axis=0))
    areas, precisions = np.concatenate(parts, axis=1)
    return {"roc_auc": percentile_interval(areas), "average_precision": percentile_interval(precisions)}


@dataclass(frozen=True, eq=False)
class _RankedScores:
    """One binary problem with its images sorted by score, so that every resample is two sums and no sort."""

    order: NDArray[np.int64]
    positive: NDArray[np.bool_]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> "_RankedScores":
        order = np.argsort(scores, kind="stable")
        ascending = scores[order]
        starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
        return cls(order, positive[order], starts)

    def areas(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """(2, resamples) the area under the ROC curve and the average precision for how often each image was drawn
        (resamples, n); NaN where one side is empty. The average precision is the sum over the steps of recall, equal scores one
        step, as scikit-learn's."""
        ascending = weights[:, self.order]
        positives = np.add.reduceat(ascending * self.positive, self.starts, axis=1).astype(np.float64)
        negatives = np.add.reduceat(ascending * ~self.positive, self.starts, axis=1).astype(np.float64)
        below = np.cumsum(negatives, axis=1) - negatives
        hits, misses = (each.sum(axis=1) for each in (positives, negatives))
        won = (positives * (below + negatives / 2)).sum(axis=1)
        found = np.full((2, len(hits)), np.nan)
        np.divide(won, hits * misses, out=found[0], where=hits * misses > 0)
        above = [each.sum(axis=1, keepdims=True) - np.cumsum(each, axis=1) + each for each in (positives, negatives)]
        stepped = (positives * above[0] / np.maximum(above[0] + above[1], 1)).sum(axis=1)
        np.divide(stepped, hits, out=found[1], where=hits * misses > 0)
        return found


def _chunks(resamples: int, numbers_each: int) -> Iterator[int]:
    """Split `resamples` so that about _NUMBERS_AT_ONCE numbers are in memory at a time."""
    at_once = max(1, _NUMBERS_AT_ONCE // max(numbers_each, 1))
    for start in range(0, resamples, at_once):
        yield min(at_once, resamples - start)
