"""Learning a number: Huber's loss or the squared one on standardised numbers, then a scale, an offset and an interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketvision.errors import UsageError, unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.number.calibration import COVERAGE, fit
from pocketvision.tasks.number.metrics import r2
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic, blended
from pocketvision.training.regression import Judged, Regression

Record = tuple[Tensor, Tensor]
"""Standardised answers (N) and true numbers (N), these in their unit."""

NEAR = 0.5
"""In standard deviations: what counts as right, for people to watch."""


def huber(answers: Tensor, wanted: Tensor) -> Tensor:
    """Squared up to one standard deviation, then straight: single wrong numbers do not rule (Huber 1964)."""
    return F.huber_loss(answers, wanted)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"huber": huber, "squared": F.mse_loss}
"""By name; the first is the default."""


@dataclass(frozen=True)
class NumberLearner:
    """Targets are (N) float64 in the numbers' unit. centre, spread: mean and standard deviation of those that are learned
    from."""

    centre: float
    spread: float
    unit: str = ""
    loss_name: str = "huber"

    def targets(self, truth: NumberLabels, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Tensor:
        del placements  # a number is of the whole image
        return torch.from_numpy(truth.values[rows])

    def loss(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """`huber` or `squared`, of standard deviations."""
        return {self.loss_name: LOSSES[self.loss_name](outputs["standardised"][:, 0].float(), self._standard(targets))}

    def right(self, outputs: Outputs, targets: Tensor) -> tuple[int, int]:
        """Those within NEAR."""
        off = (outputs["standardised"][:, 0] - self._standard(targets)).abs()
        return int((off <= NEAR).sum()), len(targets)

    def mixed(self, targets: Tensor, mix: Mix | Mosaic) -> Tensor:
        """The number in between: that of a picture of both."""
        mix = blended(mix, "a number")
        return targets.lerp(targets[mix.order], 1 - mix.share)

    def record(self, outputs: Outputs, targets: Tensor) -> Record:
        return outputs["standardised"][:, 0], targets

    def validated(self, records: Sequence[Record]) -> Validated:
        """The loss as in training, and R², 0 where it is below."""
        answers, targets = _joined(records)
        return self._validated(answers, self._standard(targets))

    def calibrate(self, records: Sequence[Record]) -> dict[str, Any]:
        """`scale`, `offset`, `unit` and `interval`: its `half_width`, `coverage` and the `images` that it was found on."""
        answers, targets = _joined(records)
        found = fit(answers.double().numpy(), targets.numpy(), self.centre, self.spread)
        interval = {"half_width": found.half_width, "coverage": COVERAGE, "images": found.images}
        return {
            "scale": found.scale,
            "offset": found.offset,
            "unit": self.unit,
            "interval": None if found.half_width is None else interval,
        }

    def regression(self, targets: Tensor, outputs: int) -> Regression:
        """On standardised numbers, by least squares whatever the loss; judged as `validated` does."""
        del outputs  # one number
        wanted = self._standard(targets)
        as_they_are = np.ones(1, np.float32), np.zeros(1, np.float32)

        def judge(predicted: NDArray[np.float32], rows: NDArray[np.int64]) -> Judged:
            found = self._validated(torch.from_numpy(predicted[:, 0]), wanted[rows])
            return Judged(found.loss, found.figure, *as_they_are)

        return Regression(wanted.numpy()[:, None], None, judge)

    def score_of(self, outputs: Outputs, choice: int) -> Tensor:
        """The number itself: there is nothing to choose."""
        del choice
        return outputs["standardised"][:, 0]

    def _validated(self, answers: Tensor, wanted: Tensor) -> Validated:
        """Of standardised numbers (N)."""
        loss = LOSSES[self.loss_name](answers.float(), wanted).item()
        found = np.nan_to_num(r2(answers.double().numpy(), wanted.double().numpy()))
        return Validated(loss, float(np.clip(found, 0, 1)), "R2")

    def _standard(self, targets: Tensor) -> Tensor:
        return ((targets - self.centre) / self.spread).float()


def _joined(records: Sequence[Record]) -> Record:
    answers, targets = zip(*records, strict=True)
    return torch.cat(answers), torch.cat(targets)


def _make(options: LearnerOptions, truth: NumberLabels) -> NumberLearner:
    name = options.loss or next(iter(LOSSES))
    if name not in LOSSES:
        raise unknown_name("loss for numbers", name, LOSSES)
    if options.class_weights != "none":
        raise UsageError("--class-weights weigh classes, and a number has none. Leave them out.")
    known = truth.values[truth.present]
    spread = float(known.std()) if len(known) else 0.0
    return NumberLearner(float(known.mean()) if len(known) else 0.0, spread or 1.0, truth.unit, name)


def _apart(outputs: Outputs, taught: Outputs, temperature: float) -> Tensor:
    """Huber's loss, of standard deviations."""
    del temperature  # a number is one
    return huber(outputs["standardised"], taught["standardised"])


def _taught(said: Outputs, task: TaskManifest, places: Tensor, learner: NumberLearner) -> dict[str, Tensor]:
    """The number, in the learner's standard deviations. Raises UsageError for another unit."""
    del places  # a number has no classes
    unit = task.postprocessing.get("unit", "")
    if unit != learner.unit:
        raise UsageError(
            f"The teacher's number is in {unit or 'no unit'}, that of the data in {learner.unit or 'no unit'}: one can not "
            "learn from the other."
        )
    return {"standardised": (said["value"] - learner.centre) / learner.spread}


# A crop would cut away what is counted at the border.
ROW = LearnerRow(
    "number",
    "linear_number",
    _make,
    "stretch",
    placed=False,
    solved_head="multiscale_number",
    apart=_apart,
    taught=_taught,
)
