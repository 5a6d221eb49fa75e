"""Figures of tags beside average precision and F1, with 95 % bootstrap intervals over images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.statistics import RESAMPLES, Interval, bootstrap_means, percentile_interval

_NUMBERS_AT_ONCE = 4_000_000
_SMALLEST_PROBABILITY = 1e-7

Marks = NDArray[np.bool_]
Scores = NDArray[np.float64]
Counted = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True)
class Further:
    """values: by name, None where the images do not define them: precision_micro, recall_micro over all decisions; f1_weighted,
    the mean over tags by their images; hamming, the share of wrong decisions; roc_auc, the mean over tags that some images have
    and some have not; brier and log_loss (nats), means over images and tags. intervals: of f1_micro, f1_weighted,
    precision_micro, recall_micro, exact, hamming, brier and log_loss. roc_aucs: (tags), NaN where it is not defined."""

    values: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]
    roc_aucs: NDArray[np.float64]


def further(scores: Scores, said: Marks, marks: Marks, seed: int) -> Further:
    """Of (n, tags) each, n >= 1."""
    by_image = {
        "exact": (said == marks).all(axis=1).astype(np.float64),
        "hamming": (said != marks).mean(axis=1),
        "brier": ((scores - marks) ** 2).mean(axis=1),
        "log_loss": _log_losses(scores, marks),
    }
    intervals = dict(zip(by_image, bootstrap_means(np.stack([*by_image.values()], axis=1), seed=seed), strict=True))
    counts = _of_counts((said & marks).sum(axis=0)[None], said.sum(axis=0)[None], marks.sum(axis=0)[None])
    areas = roc_aucs(scores, marks)
    values = {
        **{name: _defined(each[0]) for name, each in counts.items() if name != "f1_micro"},
        **{name: float(each.mean()) for name, each in by_image.items() if name != "exact"},
        "roc_auc": float(np.nanmean(areas)) if np.isfinite(areas).any() else None,
    }
    return Further(values, {**_drawn(said, marks, seed), **intervals}, areas)


def roc_aucs(scores: Scores, marks: Marks) -> NDArray[np.float64]:
    """(tags) the area under each tag's ROC curve: how often an image with it scores higher than one without, equal scores by half
    (Hanley and McNeil 1982). NaN where all images have the tag, or none."""
    found = np.full(scores.shape[1], np.nan)
    for tag in range(scores.shape[1]):
        values, counts = np.unique(scores[:, tag], return_counts=True)
        middles = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of equal scores, from 1
        ranks = middles[np.searchsorted(values, scores[:, tag])]
        own, other = int(marks[:, tag].sum()), int((~marks[:, tag]).sum())
        if own and other:
            found[tag] = (ranks[marks[:, tag]].sum() - own * (own + 1) / 2) / (own * other)
    return found


def _drawn(said: Marks, marks: Marks, seed: int) -> dict[str, Interval | None]:
    """The intervals of what follows from counts."""
    images, tags = marks.shape
    flat, generator = (
        np.concatenate([said & marks, said, marks], axis=1).astype(np.float64),
        np.random.default_rng(seed),
    )
    found: dict[str, list[NDArray[np.float64]]] = {}
    at_once = max(1, _NUMBERS_AT_ONCE // images)
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        drawn = generator.integers(0, images, (size, images)) + np.arange(size)[:, None] * images
        weights = np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).astype(np.float64)
        hits, given, there = (weights @ flat).reshape(size, 3, tags).transpose(1, 0, 2)
        for name, values in _of_counts(hits, given, there).items():
            found.setdefault(name, []).append(values)
    return {name: percentile_interval(np.concatenate(each)) for name, each in found.items()}


def _of_counts(hits: Counted, said: Counted, there: Counted) -> dict[str, Scores]:
    """(resamples,) figures of (resamples, tags) counts, NaN where there is nothing to divide by."""
    each = _ratio(2 * hits, said + there)
    return {
        "precision_micro": _ratio(hits.sum(axis=1), said.sum(axis=1)),
        "recall_micro": _ratio(hits.sum(axis=1), there.sum(axis=1)),
        "f1_micro": _ratio(2 * hits.sum(axis=1), said.sum(axis=1) + there.sum(axis=1)),
        "f1_weighted": _ratio((np.nan_to_num(each) * there).sum(axis=1), there.sum(axis=1)),
    }


def _ratio(numerator: Counted, denominator: Counted) -> Scores:
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.greater(denominator, 0))
    return quotient


def _log_losses(scores: Scores, marks: Marks) -> Scores:
    of_truth = np.where(marks, scores, 1 - scores)
    losses: Scores = -np.log(np.maximum(of_truth, _SMALLEST_PROBABILITY)).mean(axis=1)
    return losses


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
