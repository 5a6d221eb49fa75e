"""The figures of detection on images with truth, as COCO counts them, with 95 % bootstrap intervals over images.

Overlaps from 0.5 to 0.95; at most 100 detections of a class in an image, of any score from 0.001 on. A class that none of the
images has, has no average precision (None, never 0) and is left out of the means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.statistics import Headline, Interval, percentile_interval
from pocketvision.tasks.detection.bootstrap import means, resampled
from pocketvision.tasks.detection.choosing import points
from pocketvision.tasks.detection.error_kinds import ErrorFigures, error_figures
from pocketvision.tasks.detection.matching import SIZES
from pocketvision.tasks.detection.precision import MOST, average_precisions, average_recall, mean
from pocketvision.tasks.detection.record import DetectionRecord, Rows, joined
from pocketvision.tasks.detection.reliability import Reliability, reliability
from pocketvision.tasks.manifest import DECIDED_BY, TaskManifest, deciding
from pocketvision.tasks.measuring import MeasureOptions, kept_headline
from pocketvision.tasks.thresholds import OperatingPoint

HEADLINE, KEPT = "AP", "ap"
"""The mean over classes and ten overlaps of the average precision: its name, and its key in JSON."""

AT_50, AT_75 = 0, 5
"""Places in IOUS."""


@dataclass(frozen=True)
class ClassFigures:
    """One class's, shares in [0, 1], None where the images do not define them. objects: that there are, images: how many have
    some. ap, ap50, ap75: average precision; interval: of ap. at: what its threshold does, an object being found from an IoU of
    0.5 on."""

    name: str
    objects: int
    images: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    interval: Interval | None
    at: OperatingPoint

    @property
    def said(self) -> int:
        """Objects of the class in answers."""
        return self.at.hits + self.at.false_alarms

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the name."""
        figures = {name: getattr(self, name) for name in ("objects", "images", "ap", "ap50", "ap75")}
        at = {name: getattr(self.at, name) for name in ("threshold", "precision", "recall", "f1")}
        return {**figures, **at, "said": self.said, "intervals": {KEPT: _bounds(self.interval)}}


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """objects: that count. figures: COCO's twelve by name, shares in [0, 1]; None where no object is of the size. intervals: of
    some of them. errors: by kind. scores: whether they are honest. decided_by: the thresholds that shipped, where there are
    some."""

    images: int
    objects: int
    figures: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]
    per_class: tuple[ClassFigures, ...]
    errors: Mapping[str, ErrorFigures]
    scores: Reliability
    decided_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def undefined(self) -> tuple[str, ...]:
        """The classes that none of the images has: they have no average precision, and are in no mean."""
        return tuple(each.name for each in self.per_class if not each.objects)

    @property
    def headline(self) -> Headline:
        """The average precision."""
        return Headline(HEADLINE, self.figures[KEPT] or 0.0, self.intervals[KEPT])

    @property
    def text(self) -> str:
        """As in "AP 41.0% (95 %: 38.2% to 44.1%), AP50 76.0%, AP75 40.2%"."""
        return f"{HEADLINE} {self.headline.text}, AP50 {self.figures['ap50']:.1%}, AP75 {self.figures['ap75']:.1%}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; no NaN."""
        return {
            "images": self.images,
            "objects": self.objects,
            **self.figures,
            "intervals": {name: _bounds(each) for name, each in self.intervals.items()},
            "per_class": {each.name: each.to_dict() for each in self.per_class},
            "undefined": list(self.undefined),
            "errors": {kind: asdict(each) for kind, each in self.errors.items()},
            "scores": asdict(self.scores),
            **({DECIDED_BY: dict(self.decided_by)} if self.decided_by else {}),
        }

    def summary(self) -> dict[str, Any]:
        """The same without the bins of scores."""
        return {name: value for name, value in self.to_dict().items() if name != "scores"}


def measure(records: Sequence[DetectionRecord], task: TaskManifest, options: MeasureOptions) -> DetectionMetrics:
    """Of records with truth. Raises PocketVisionError without images, and where no image has any object: there is nothing to find
    then."""
    if not records:
        raise PocketVisionError("There are no images to measure detection on.")
    if any(each.there is None for each in records):
        raise PocketVisionError("Detection can not be measured: there are images without truth.")
    rows, classes = joined(records), len(task.labels)
    if rows.ignored[0].all():
        raise PocketVisionError(f"None of the {rows.images} images has any object, so there is nothing to measure.")
    precisions = average_precisions(rows, classes)
    drawn = resampled(rows, classes, options.seed)
    chosen = {KEPT: drawn, "ap50": drawn[..., AT_50], "ap75": drawn[..., AT_75]}
    return DetectionMetrics(
        images=rows.images,
        objects=int((~rows.ignored[0]).sum()),
        figures=_figures(rows, precisions),
        intervals={name: percentile_interval(means(each)) for name, each in chosen.items()},
        per_class=_per_class(records, rows, task, precisions, drawn),
        errors=error_figures(records, classes),
        scores=reliability(rows),
        decided_by=deciding(task),
    )


def _figures(rows: Rows, precisions: NDArray[np.float64]) -> dict[str, float | None]:
    """COCO's twelve, by name."""
    classes, sizes = len(precisions), [each for each in SIZES if each != "all"]
    return {
        KEPT: mean(precisions),
        "ap50": mean(precisions[:, AT_50]),
        "ap75": mean(precisions[:, AT_75]),
        **{f"ap_{size}": mean(average_precisions(rows, classes, size)) for size in sizes},
        **{f"ar_{most}": average_recall(rows, classes, most=most) for most in MOST},
        **{f"ar_{size}": average_recall(rows, classes, size) for size in sizes},
    }


def _per_class(
    records: Sequence[DetectionRecord],
    rows: Rows,
    task: TaskManifest,
    precisions: NDArray[np.float64],
    drawn: NDArray[np.float64],
) -> tuple[ClassFigures, ...]:
    found, at = [], points(records, task)
    for place, name in enumerate(task.labels):
        own = (rows.object_classes == place) & ~rows.ignored[0]
        each = precisions[place]
        there = np.isfinite(each[0])
        found.append(
            ClassFigures(
                name=name,
                objects=int(own.sum()),
                images=len(np.unique(rows.object_image_of[own])),
                ap=float(each.mean()) if there else None,
                ap50=float(each[AT_50]) if there else None,
                ap75=float(each[AT_75]) if there else None,
                interval=percentile_interval(means(drawn[:, place])),
                at=at[name],
            )
        )
    return tuple(found)


def check_options(task: TaskManifest, options: MeasureOptions) -> None:
    """UsageError for a positive class: every class is one."""
    if options.positive is not None:
        raise UsageError(
            f"A positive class ({options.positive!r}) is for a classifier of two classes; the detector has "
            f"{len(task.labels)}, each with figures of its own. Leave it out."
        )


def kept_ap(kept: Mapping[str, Any]) -> Headline | None:
    """Of what a bundle keeps."""
    found = kept_headline(kept, KEPT)
    return None if found is None else replace(found, name=HEADLINE)


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
