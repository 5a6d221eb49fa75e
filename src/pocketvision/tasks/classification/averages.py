"""Figures of a classifier that follow from counts alone: how many images of each class there are, were answered, and both.

Each takes (resamples, classes) counts and gives (resamples,) figures, NaN where the counts do not define them.
"""

import numpy as np
from numpy.typing import NDArray

from pocketvision.statistics import Counts

Figures = NDArray[np.float64]


def averages(hits: Counts, support: Counts, predicted: Counts, target: int | None) -> dict[str, Figures]:
    """By name. target: the class whose precision, recall and F1 those three are; None takes the mean over classes (macro).

    As in scikit-learn, a class that has images but was never predicted has a precision of 0; unlike there, a class without
    images is in no mean.
    """
    present = support > 0
    recall = ratio(hits, support)
    precision = np.where(present, np.nan_to_num(ratio(hits, predicted)), np.nan)
    f1 = np.where(present, ratio(2 * hits, support + predicted), np.nan)
    macro = {"precision": mean(precision), "recall": mean(recall), "f1": mean(f1)}
    each = {"precision": precision, "recall": recall, "f1": f1}
    of_all = macro if target is None else {name: values[:, target] for name, values in each.items()}
    return {
        "balanced_accuracy": macro["recall"],
        **{f"macro_{name}": values for name, values in macro.items()},
        **{f"weighted_{name}": weighted(values, support) for name, values in each.items()},
        **of_all,
        "matthews": matthews(hits, support, predicted),
        "cohen_kappa": cohen_kappa(hits, support, predicted),
    }


def matthews(hits: Counts, support: Counts, predicted: Counts) -> Figures:
    """Matthews' correlation of answers and truth, in [-1, 1], for any number of classes (Gorodkin 2004). NaN where all images,
    or all answers, are of one class."""
    right, images, expected = _sums(hits, support, predicted)
    answers = images**2 - (predicted.astype(np.float64) ** 2).sum(axis=1)
    truths = images**2 - (support.astype(np.float64) ** 2).sum(axis=1)
    return ratio(right * images - expected, np.sqrt(answers * truths))


def cohen_kappa(hits: Counts, support: Counts, predicted: Counts) -> Figures:
    """How much more often answers and truth agree than by chance, 1 at most (Cohen 1960). NaN where chance always agrees."""
    right, images, expected = _sums(hits, support, predicted)
    return ratio(right * images - expected, images**2 - expected)


def _sums(hits: Counts, support: Counts, predicted: Counts) -> tuple[Figures, Figures, Figures]:
    """(resamples,) each: right answers, images, and over the classes the products of those there and those answered."""
    products = (support.astype(np.float64) * predicted).sum(axis=1)
    return hits.sum(axis=1).astype(np.float64), support.sum(axis=1).astype(np.float64), products


def weighted(values: Figures, support: Counts) -> Figures:
    """The mean over classes by their images."""
    return ratio(np.where(np.isfinite(values), values * support, 0.0).sum(axis=1), support.sum(axis=1))


def ratio(numerator: NDArray[np.generic], denominator: NDArray[np.generic]) -> Figures:
    """NaN where the denominator is 0."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.greater(denominator, 0))
    return quotient


def mean(values: Figures) -> Figures:
    """The mean over classes of (resamples, classes), without the classes that have no figure."""
    defined = np.isfinite(values)
    means: Figures = np.where(defined, values, 0.0).sum(axis=1) / np.maximum(defined.sum(axis=1), 1)
    return means
