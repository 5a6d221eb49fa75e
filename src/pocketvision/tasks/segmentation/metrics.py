"""The figures of segmentation on images with truth, from one confusion matrix over all of them, with 95 % bootstrap intervals
over images.

A class that is neither there nor said anywhere has no figures (None, never 0) and is left out of the means; one that is only
said has 0. Pixels of no class in the truth are not counted; pixels that an answer says nothing of are misses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.printable import counted, quoted
from pocketvision.statistics import FEWEST_RESAMPLES, RESAMPLES, Headline, Interval, percentile_interval
from pocketvision.tasks.manifest import DECIDED_BY, TaskManifest, decided_by
from pocketvision.tasks.measuring import MeasureOptions, kept_headline
from pocketvision.tasks.segmentation.record import BINS, Counts, SegmentationRecord

HEADLINE, KEPT = "mIoU", "miou"
"""The mean over classes of intersection over union: its name, and its key in JSON."""

_NAMED = 4
_NUMBERS_IN_ALL = 200_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassFigures:
    """One class's, shares in [0, 1], None where it is neither there nor said. pixels: that are of it, said: that are answered so,
    images: that show it. iou, dice; precision, recall: of its pixels; boundary_f1: of its borders. interval: of iou."""

    name: str
    pixels: int
    said: int
    images: int
    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    boundary_f1: float | None
    interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the name."""
        return {
            **{name: value for name, value in asdict(self).items() if name not in ("name", "interval")},
            "intervals": {"iou": _bounds(self.interval)},
        }


@dataclass(frozen=True)
class Bin:
    """Of so many pixels the mean probability of the class that is said, and the share that is right, in [0, 1]."""

    count: int
    probability: float
    right: float


@dataclass(frozen=True, eq=False)
class SegmentationMetrics:
    """pixels: of which there is truth. figures: shares in [0, 1] by name, None where nothing defines them. confusion: (classes,
    classes + 1), see Counts. bins: those that hold pixels; calibration_error: the mean distance of probability and share right
    over them. left_out: names of the classes without figures. decided_by: of the task, see manifest.py."""

    images: int
    pixels: int
    figures: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]
    per_class: tuple[ClassFigures, ...]
    confusion: NDArray[np.int64]
    bins: tuple[Bin, ...]
    calibration_error: float
    left_out: tuple[str, ...]
    decided_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def undefined(self) -> tuple[str, ...]:
        """`left_out`, as other tasks call it."""
        return self.left_out

    @property
    def headline(self) -> Headline:
        """The mean IoU."""
        return Headline(HEADLINE, self.figures[KEPT] or 0.0, self.intervals[KEPT])

    @property
    def text(self) -> str:
        """As in "mIoU 61.6% (95 %: 60.1% to 63.0%), Dice 74.0%, pixel accuracy 89.1%; left out: …"."""
        said = f"{HEADLINE} {self.headline.text}, Dice {self.figures['dice']:.1%}"
        said += f", pixel accuracy {self.figures['pixel_accuracy']:.1%}"
        if not self.left_out:
            return said
        names = ", ".join(map(quoted, self.left_out[:_NAMED]))
        return f"{said}; left out, as none of these images shows it: {counted(len(self.left_out), 'class')} ({names})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; no NaN."""
        return {
            "images": self.images,
            "pixels": self.pixels,
            **self.figures,
            "calibration_error": self.calibration_error,
            "intervals": {name: _bounds(each) for name, each in self.intervals.items()},
            "per_class": {each.name: each.to_dict() for each in self.per_class},
            "left_out": list(self.left_out),
            "confusion": self.confusion.tolist(),
            "calibration": [asdict(each) for each in self.bins],
            **({DECIDED_BY: dict(self.decided_by)} if self.decided_by else {}),
        }

    def summary(self) -> dict[str, Any]:
        """The same without what a bundle has no use for."""
        return {name: value for name, value in self.to_dict().items() if name not in ("confusion", "calibration")}


def measure(records: Sequence[SegmentationRecord], task: TaskManifest, options: MeasureOptions) -> SegmentationMetrics:
    """Of records with truth. Raises PocketVisionError without images, and where no pixel has any truth."""
    if not records:
        raise PocketVisionError("There are no images to measure segmentation on.")
    counts = counts_of(records)
    matrices = np.stack([each.confusion for each in counts])
    confusion = matrices.sum(axis=0)
    pixels = int(confusion.sum())
    if not pixels:
        raise PocketVisionError(f"No pixel of the {len(records)} masks is of a class, so there is nothing to measure.")
    drawn, ious = resampled(matrices, options.seed), iou(*sums_of(confusion))
    figures = _figures(confusion, counts)
    bins, error = _calibration(counts)
    return SegmentationMetrics(
        images=len(records),
        pixels=pixels,
        figures=figures,
        intervals={name: percentile_interval(each) for name, each in _means(drawn).items()},
        per_class=_per_class(task, matrices, counts, iou(*drawn)),
        confusion=confusion,
        bins=bins,
        calibration_error=error,
        left_out=tuple(name for name, each in zip(task.labels, ious, strict=True) if np.isnan(each)),
        decided_by=decided_by(task),
    )


def counts_of(records: Sequence[SegmentationRecord]) -> list[Counts]:
    """Of records with truth. Raises PocketVisionError where one has none."""
    found = [each.counts for each in records if each.counts is not None]
    if len(found) < len(records):
        raise PocketVisionError("Segmentation can not be measured: there are images without truth.")
    return found


def sums_of(confusion: NDArray[np.integer]) -> tuple[Floats, Floats, Floats]:
    """(…, classes) pixels that are right, there, and said, of confusion (…, classes, classes + 1)."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    return right, confusion.sum(axis=-1).astype(np.float64), confusion[..., :-1].sum(axis=-2).astype(np.float64)


def iou(right: Floats, there: Floats, said: Floats) -> Floats:
    """(…, classes) intersection over union; NaN where a class is neither there nor said."""
    return _ratio(right, there + said - right)


def dice(right: Floats, there: Floats, said: Floats) -> Floats:
    """(…, classes) twice the intersection over the sum of both; NaN as above."""
    return _ratio(2 * right, there + said)


def resampled(matrices: NDArray[np.int64], seed: int) -> tuple[Floats, Floats, Floats]:
    """(resamples, classes) each, as sums_of, of images drawn again; the same draws for the same n and seed. None where there
    are too many numbers to draw from. matrices: (n, classes, classes + 1)."""
    images, classes = matrices.shape[:2]
    count = min(RESAMPLES, _NUMBERS_IN_ALL // (images * classes))
    count = count if count >= FEWEST_RESAMPLES else 0
    drawn = np.random.default_rng(seed).integers(0, images, (count, images)) + np.arange(count)[:, None] * images
    weights = np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images).astype(np.float64)
    right, there, said = (weights @ each for each in sums_of(matrices))
    return right, there, said


def mean(figures: Floats) -> Floats:
    """(…) over the last axis, of what is defined; NaN where nothing is."""
    defined = np.isfinite(figures)
    return _ratio(np.where(defined, figures, 0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))


def _means(sums: tuple[Floats, Floats, Floats]) -> dict[str, Floats]:
    """(…) of sums (…, classes), by name."""
    right, there, _ = sums
    accuracy = _ratio(right.sum(axis=-1), there.sum(axis=-1))
    return {KEPT: mean(iou(*sums)), "dice": mean(dice(*sums)), "pixel_accuracy": accuracy}


def _figures(confusion: NDArray[np.int64], counts: Sequence[Counts]) -> dict[str, float | None]:
    right, there, said = sums_of(confusion)
    means = _means((right, there, said))
    means["mean_recall"] = mean(_ratio(right, there))
    means["boundary_f1"] = mean(_boundary_f1(counts))
    return {name: _known(value) for name, value in means.items()}


def _boundary_f1(counts: Sequence[Counts]) -> Floats:
    """(classes) NaN where neither has a border."""
    said, said_near, there, there_near = np.sum([each.borders for each in counts], axis=0).T.astype(np.float64)
    precision, recall = np.nan_to_num(_ratio(said_near, said)), np.nan_to_num(_ratio(there_near, there))
    score = np.nan_to_num(_ratio(2 * precision * recall, precision + recall))
    return np.where(said + there > 0, score, np.nan)


def _per_class(
    task: TaskManifest, matrices: NDArray[np.int64], counts: Sequence[Counts], drawn: Floats
) -> tuple[ClassFigures, ...]:
    right, there, said = sums_of(matrices.sum(axis=0))
    images = (matrices.sum(axis=2) > 0).sum(axis=0)
    shares = {
        "iou": iou(right, there, said),
        "dice": dice(right, there, said),
        "precision": _ratio(right, said),
        "recall": _ratio(right, there),
        "boundary_f1": _boundary_f1(counts),
    }
    return tuple(
        ClassFigures(
            name=name,
            pixels=int(there[place]),
            said=int(said[place]),
            images=int(images[place]),
            interval=percentile_interval(drawn[:, place]),
            **{figure: _known(each[place]) for figure, each in shares.items()},
        )
        for place, name in enumerate(task.labels)
    )


def _calibration(counts: Sequence[Counts]) -> tuple[tuple[Bin, ...], float]:
    """The expected calibration error (Guo et al. 2017) over pixels."""
    number, chance, right = np.sum([each.honest for each in counts], axis=0).T.astype(np.float64)
    bins = tuple(
        Bin(int(number[place]), float(chance[place] / 1000 / number[place]), float(right[place] / number[place]))
        for place in range(BINS)
        if number[place]
    )
    total = sum(each.count for each in bins)
    error = sum(each.count * abs(each.probability - each.right) for each in bins) / total if total else 0.0
    return bins, error


def check_options(task: TaskManifest, options: MeasureOptions) -> None:
    """UsageError for a positive class: every class has figures of its own."""
    if options.positive is not None:
        raise UsageError(
            f"A positive class ({options.positive!r}) is for a classifier of two classes; here each of {len(task.labels)} has "
            "figures of its own. Leave it out."
        )


def kept_miou(kept: Mapping[str, Any]) -> Headline | None:
    """Of what a bundle keeps."""
    found = kept_headline(kept, KEPT)
    return None if found is None else replace(found, name=HEADLINE)


def _ratio(part: Floats, whole: Floats) -> Floats:
    found = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=found, where=np.asarray(whole) > 0)
    return found


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
