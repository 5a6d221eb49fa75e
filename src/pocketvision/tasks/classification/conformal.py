"""Sets of classes that hold the true one as often as was asked: split conformal prediction by the least ambiguous sets.

Sadinle, Lei and Wasserman 2019 (https://arxiv.org/abs/1609.00451): a class is in the set where its probability reaches a quantile
of the true classes' probabilities. Of new images that are drawn like those of the calibration, the share of sets with the true
class is at least what was asked, on average over calibrations, and at most 1 / (n + 1) more.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.statistics import Interval, wilson
from pocketvision.tasks.classification.record import ClassAnswers, ClassRecord, stacked
from pocketvision.tasks.classification.sets import ConformalSets
from pocketvision.tasks.manifest import CONFORMAL, TaskManifest

_ROUNDING = 1e-9


@dataclass(frozen=True)
class SetFigures:
    """What conformal sets are on n images with truth. asked, covered: the share of sets that was to hold the true class, and that
    does, with its 95 % interval. classes: their mean number. single, empty: shares of sets with one class, and with none."""

    asked: float
    covered: float
    interval: Interval
    classes: float
    single: float
    empty: float

    @property
    def text(self) -> str:
        """As in "sets hold the true class in 91.2% (95 %: 88.0% to 93.6%), asked 90%, with 1.2 classes"."""
        bounds = f"{self.interval.low:.1%} to {self.interval.high:.1%}"
        held = f"sets hold the true class in {self.covered:.1%} (95 %: {bounds}), asked {self.asked:.0%}"
        return f"{held}, with {self.classes:.1f} classes"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "interval": [self.interval.low, self.interval.high]}


def with_sets(records: Sequence[ClassRecord], task: TaskManifest, coverage: float) -> TaskManifest:
    """The task whose answers come with sets that hold the true class in `coverage` (0 to 1) of new images, calibrated on n >= 1
    records with truth. Raises UsageError for a coverage outside (0, 1), and for too few images to promise it."""
    if not 0 < coverage < 1:
        raise UsageError(f"--coverage is {coverage:g}; expected a share between 0 and 1, such as 0.9.")
    answers = stacked(records)
    of_truth = answers.probabilities[np.arange(len(records)), answers.labels].astype(np.float64)
    return replace(task, postprocessing={**task.postprocessing, CONFORMAL: asdict(calibrated(of_truth, coverage))})


def calibrated(of_truth: NDArray[np.float64], coverage: float) -> ConformalSets:
    """From the probabilities of the true classes of n images. Raises UsageError where n is too small for any promise."""
    images = len(of_truth)
    held = ceil((images + 1) * coverage - _ROUNDING)
    if held > images:
        least = ceil(coverage / (1 - coverage) - _ROUNDING)
        raise UsageError(
            f"--coverage {coverage:g} takes at least {least} labelled images to calibrate on; there are {images}."
        )
    return ConformalSets(coverage, float(np.sort(of_truth)[::-1][held - 1]), images)


def set_figures(answers: ClassAnswers, task: TaskManifest) -> SetFigures | None:
    """Of n >= 1 answers with truth; None where the bundle tells no sets."""
    sets = ConformalSets.of(task)
    if sets is None:
        return None
    members = sets.members(answers.probabilities)
    held, sizes = members[np.arange(len(members)), answers.labels], members.sum(axis=1)
    interval = wilson(int(held.sum()), len(held))
    assert interval is not None  # there are images
    return SetFigures(
        sets.coverage,
        float(held.mean()),
        interval,
        float(sizes.mean()),
        float((sizes == 1).mean()),
        float((sizes == 0).mean()),
    )
