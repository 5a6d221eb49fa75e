"""The figures of numbers on images with truth, with 95 % bootstrap intervals over images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.statistics import RESAMPLES, Headline, Interval, percentile_interval, wilson
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.number.answer import short
from pocketvision.tasks.number.decode import Shipped
from pocketvision.tasks.number.record import NumberRecord, stacked

HEADLINE = "R2"
"""The share of the numbers' variance that the answers explain: 1 is perfect, 0 as good as always saying the mean, below 0
worse. It is what is compared, since it has no unit; MAE and RMSE stand beside it in the number's own."""

_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class NumberMetrics:
    """mae, rmse, bias (answered less true), mae_of_mean (of always saying these images' mean): in `unit`. r2: at most 1. covered:
    the share of images whose interval holds the truth, with its own; wanted: the share that it is made for; None where the bundle
    ships no interval. fitted: whether the interval was found on these very images. intervals: by the figure's name."""

    images: int
    unit: str
    r2: float
    mae: float
    rmse: float
    bias: float
    mae_of_mean: float
    half_width: float | None
    wanted: float | None
    covered: float | None
    fitted: bool
    intervals: Mapping[str, Interval | None]

    @property
    def headline(self) -> Headline:
        """R²."""
        return Headline(HEADLINE, self.r2, self.intervals.get(HEADLINE))

    @property
    def text(self) -> str:
        """As in "MAE 2.31 years, RMSE 3.02, R2 81.3% (95 %: 74.2% to 86.1%)"."""
        unit = f" {self.unit}" if self.unit else ""
        return f"MAE {short(self.mae)}{unit}, RMSE {short(self.rmse)}, {HEADLINE} {self.headline.text}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; no NaN."""
        return {
            "images": self.images,
            "unit": self.unit,
            HEADLINE: self.r2,
            "mae": self.mae,
            "rmse": self.rmse,
            "bias": self.bias,
            "mae_of_mean": self.mae_of_mean,
            "interval_half_width": self.half_width,
            "interval_coverage": self.wanted,
            "covered": self.covered,
            "covered_in_sample": self.fitted,
            "intervals": {
                name: None if each is None else [each.low, each.high] for name, each in self.intervals.items()
            },
        }

    summary = to_dict


def measure(records: Sequence[NumberRecord], task: TaskManifest, options: MeasureOptions) -> NumberMetrics:
    """Of records with truth. Raises PocketVisionError without images, and for numbers that are not finite."""
    if not records:
        raise PocketVisionError("There are no images to measure numbers on.")
    values, truth = stacked(records)
    if truth is None or not np.isfinite(values).all():
        raise PocketVisionError(
            "Numbers can not be measured: there are images without truth, or answers that are not finite."
        )
    errors, shipped = values - truth, Shipped.of(task)
    drawn = draws(len(values), options.seed)
    intervals = {
        HEADLINE: percentile_interval(r2(values[drawn], truth[drawn])),
        "mae": percentile_interval(np.abs(errors)[drawn].mean(axis=1)),
        "rmse": percentile_interval(np.sqrt((errors**2)[drawn].mean(axis=1))),
    }
    covered = None
    if shipped.half_width is not None:
        inside = int((np.abs(errors) <= shipped.half_width).sum())
        covered = inside / len(errors)
        intervals["covered"] = wilson(inside, len(errors))
    return NumberMetrics(
        images=len(values),
        unit=shipped.unit,
        r2=float(r2(values, truth)),
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt((errors**2).mean())),
        bias=float(errors.mean()),
        mae_of_mean=float(np.abs(truth - truth.mean()).mean()),
        half_width=shipped.half_width,
        wanted=None if shipped.half_width is None else shipped.coverage,
        covered=covered,
        fitted=options.fitted,
        intervals=intervals,
    )


def r2(values: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...) the coefficient of determination of (..., n). Where all truths are equal it is 1 for perfect answers, else 0:
    there is no variance that could be explained."""
    left = ((values - truth) ** 2).sum(axis=-1)
    whole = ((truth - truth.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    explained: NDArray[np.float64] = np.where(whole > 0, 1 - left / np.where(whole > 0, whole, 1), left == 0)
    return explained


def draws(images: int, seed: int) -> NDArray[np.int64]:
    """(resamples, images) which images are drawn again; fewer resamples of very many images, where intervals are narrow
    anyway."""
    count = min(RESAMPLES, max(200, _NUMBERS_AT_ONCE // images))
    return np.random.default_rng(seed).integers(0, images, (count, images))


def check_options(task: TaskManifest, options: MeasureOptions) -> None:
    """UsageError for a positive class: a number has none."""
    del task
    if options.positive is not None:
        raise UsageError(
            f"A positive class ({options.positive!r}) is for a classifier; this model says a number. Leave it out."
        )
