"""The figures of tags on images with truth, with 95 % bootstrap intervals over images.

A tag that none of the images has, has no average precision (None, never 0) and is left out of the means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.statistics import RESAMPLES, Headline, Interval, percentile_interval
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.tags.decode import thresholds_of
from pocketvision.tasks.tags.further import Further, further
from pocketvision.tasks.tags.record import TagRecord, stacked

HEADLINE = "mAP"
"""The mean over tags of the average precision: what is compared, since no threshold is in it."""

_NUMBERS_AT_ONCE = 4_000_000
_MOST_RESAMPLED = 400_000_000

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class TagFigures:
    """One tag's figures, shares in [0, 1], None where the images do not define them. support: images that have it; said: images
    that the model gives it, at threshold; hits: both."""

    name: str
    threshold: float
    support: int
    said: int
    hits: int
    average_precision: float | None
    roc_auc: float | None = None

    @property
    def precision(self) -> float | None:
        """Of those said, the share that is right."""
        return self.hits / self.said if self.said else None

    @property
    def recall(self) -> float | None:
        """Of those that have it, the share that is found."""
        return self.hits / self.support if self.support else None

    @property
    def f1(self) -> float | None:
        """Of both; None for a tag that is neither there nor said."""
        both = self.said + self.support
        return 2 * self.hits / both if both else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the name."""
        columns = ("threshold", "support", "said", "precision", "recall", "f1", "average_precision", "roc_auc")
        return {column: getattr(self, column) for column in columns}


@dataclass(frozen=True, eq=False)
class TagMetrics:
    """Shares in [0, 1]. f1_micro: over all decisions; f1_macro: mean over tags that have one. exact: images of which every tag is
    right. interval: the mean average precision's. further: more figures, with intervals. together, said_together: (tags, tags) in
    how many images two tags are, and are said to be, the diagonal how many have one."""

    images: int
    mean_average_precision: float
    interval: Interval | None
    f1_micro: float
    f1_macro: float
    exact: float
    per_tag: tuple[TagFigures, ...]
    together: NDArray[np.int64]
    said_together: NDArray[np.int64]
    further: Further

    @property
    def undefined(self) -> tuple[str, ...]:
        """The tags that none of the images has: they have no average precision and no recall, and are in no mean of these."""
        return tuple(each.name for each in self.per_tag if not each.support)

    @property
    def headline(self) -> Headline:
        """The mean average precision."""
        return Headline(HEADLINE, self.mean_average_precision, self.interval)

    @property
    def text(self) -> str:
        """As in "mAP 81.0% (95 %: 74.2% to 86.1%), F1 0.760 (micro), 0.702 (macro)"."""
        return f"{HEADLINE} {self.headline.text}, F1 {self.f1_micro:.3f} (micro), {self.f1_macro:.3f} (macro)"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; no NaN."""
        intervals = {HEADLINE: self.interval, **self.further.intervals}
        return {
            "images": self.images,
            HEADLINE: self.mean_average_precision,
            "f1_micro": self.f1_micro,
            "f1_macro": self.f1_macro,
            "exact": self.exact,
            **self.further.values,
            "intervals": {name: None if each is None else [each.low, each.high] for name, each in intervals.items()},
            "per_tag": {each.name: each.to_dict() for each in self.per_tag},
            "undefined": list(self.undefined),
            "together": self.together.tolist(),
            "said_together": self.said_together.tolist(),
        }

    def summary(self) -> dict[str, Any]:
        """The same without what goes by pairs."""
        return {name: value for name, value in self.to_dict().items() if "together" not in name}


def measure(records: Sequence[TagRecord], task: TaskManifest, options: MeasureOptions) -> TagMetrics:
    """Of records with truth. Raises PocketVisionError without images, with numbers that are not finite, and where no image has
    any tag, since there is nothing to find then."""
    if not records:
        raise PocketVisionError("There are no images to measure tags on.")
    rows = stacked(records)
    scores, said, marks = rows.probabilities, rows.said, rows.marks
    if marks is None or not np.isfinite(scores).all():
        raise PocketVisionError(
            "Tags can not be measured: there are images without truth, or numbers that are not finite."
        )
    if not marks.any():
        raise PocketVisionError(f"None of the {len(marks)} images has any tag, so there is nothing to measure.")
    precisions = average_precisions(scores, marks, np.ones((1, len(marks)), np.int64))[0]
    hits, more = (said & marks).sum(axis=0), further(scores, said, marks, options.seed)
    per_tag = tuple(
        TagFigures(
            name, threshold, support, given, hit, *(None if np.isnan(each) else each for each in (precision, area))
        )
        for name, threshold, support, given, hit, precision, area in zip(
            task.labels,
            thresholds_of(task).tolist(),
            marks.sum(axis=0).tolist(),
            said.sum(axis=0).tolist(),
            hits.tolist(),
            precisions.tolist(),
            more.roc_aucs.tolist(),
            strict=True,
        )
    )
    both = int(said.sum() + marks.sum())
    return TagMetrics(
        images=len(marks),
        mean_average_precision=float(np.nanmean(precisions)),
        interval=percentile_interval(resampled(scores, marks, options.seed)),
        f1_micro=float(2 * hits.sum() / both),
        f1_macro=float(np.mean([each.f1 for each in per_tag if each.f1 is not None])),
        exact=float((said == marks).all(axis=1).mean()),
        per_tag=per_tag,
        together=pairs(marks),
        said_together=pairs(said),
        further=more,
    )


def average_precisions(scores: NDArray[np.float64], marks: Marks, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """(resamples, tags) the average precision of each tag: the sum of precisions at each step of recall, equal scores one step.

    scores, marks: (n, tags). weights: (resamples, n), how often each image counts. NaN where no image has the tag.
    """
    found = np.full((len(weights), scores.shape[1]), np.nan)
    for tag in range(scores.shape[1]):
        order = np.argsort(-scores[:, tag], kind="stable")
        ranked, drawn = scores[order, tag], weights[:, order]
        last = np.searchsorted(-ranked, -ranked, side="right") - 1  # where the step that an image is in ends
        positive = drawn * marks[order, tag]
        hits, said = positive.cumsum(axis=1)[:, last], drawn.cumsum(axis=1)[:, last]
        support = positive.sum(axis=1)
        gained = (positive * (hits / np.maximum(said, 1))).sum(axis=1)
        np.divide(gained, support, out=found[:, tag], where=support > 0)
    return found


def resampled(scores: NDArray[np.float64], marks: Marks, seed: int) -> NDArray[np.float64]:
    """(resamples,) the mean average precision of images drawn again; the same draws for the same n and seed. Fewer, or none,
    where the numbers are too many."""
    images, tags = scores.shape
    count, generator = min(RESAMPLES, _MOST_RESAMPLED // (images * tags)), np.random.default_rng(seed)
    at_once, parts = max(1, _NUMBERS_AT_ONCE // images), [np.zeros(0)]
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        drawn = generator.integers(0, images, (size, images)) + np.arange(size)[:, None] * images
        weights = np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images)
        found = average_precisions(scores, marks, weights)
        defined = np.isfinite(found)
        sums = np.where(defined, found, 0).sum(axis=1)
        parts.append(np.where(defined.any(axis=1), sums / np.maximum(defined.sum(axis=1), 1), np.nan))
    return np.concatenate(parts)


def pairs(marks: Marks) -> NDArray[np.int64]:
    """(tags, tags) in how many images both are."""
    whole = marks.astype(np.int64)
    return whole.T @ whole


def check_options(task: TaskManifest, options: MeasureOptions) -> None:
    """UsageError for a positive class: every tag is one."""
    if options.positive is not None:
        raise UsageError(
            f"A positive class ({options.positive!r}) is for a classifier of two classes; the model has "
            f"{len(task.labels)} tags, each with figures of its own. Leave it out."
        )
