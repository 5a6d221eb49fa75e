"""What is minimised: the sum of the losses of all tasks, each over the images that have its truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.truth import Truth
from pocketvision.training.balance import Balance, weighted_sum
from pocketvision.training.learner import Learner, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic

ByTask = Mapping[str, Outputs]
"""What the heads put out to be learned from, by task and role."""


@dataclass(frozen=True, eq=False)
class TaskTargets:
    """A learner's targets, and the rows of the batch that they are of; None where they are of all."""

    targets: Any
    rows: Tensor | None

    def own(self, outputs: Outputs) -> Outputs:
        """The outputs of those rows."""
        return outputs if self.rows is None else {role: values[self.rows] for role, values in outputs.items()}


Targets = Mapping[str, TaskTargets]
"""By task; without those that no image of the batch has the truth of."""


@dataclass(frozen=True)
class Validation:
    """Over the validation split: the loss to stop on, the main task's figure, and each task's own where there are others."""

    loss: float
    figure: float
    tasks: Mapping[str, Validated]

    @property
    def columns(self) -> dict[str, float]:
        """TASK.loss of each, and its figure by name, such as TASK.AP50."""
        return {
            f"{task}.{name}": value
            for task, own in self.tasks.items()
            for name, value in (("loss", own.loss), (own.name, own.figure))
        }


@dataclass(frozen=True, eq=False)
class Objective:
    """learners and truth, of all images, by task. weights: of the tasks in the sum; 1 for one that is not named. balance: weighs
    several tasks while they learn; None takes the weights.

    The main task, whose figure people watch, is classification, else the first.
    """

    learners: Mapping[str, Learner]
    truth: Mapping[str, Truth]
    weights: Mapping[str, float] = field(default_factory=dict)
    balance: Balance | None = None

    @cached_property
    def main(self) -> str:
        """The main task."""
        return CLASSIFICATION if CLASSIFICATION in self.learners else next(iter(self.learners))

    @cached_property
    def _present(self) -> dict[str, NDArray[np.bool_]]:
        return {task: self.truth[task].present for task in self.learners}

    @cached_property
    def patterns(self) -> NDArray[np.int64]:
        """(n) which tasks' truth each image has, as a number: what batches are mixed by."""
        bits = [present.astype(np.int64) << place for place, present in enumerate(self._present.values())]
        return np.asarray(sum(bits), np.int64)

    def targets(self, samples: NDArray[np.int64], placements: Sequence[Placement]) -> Targets:
        """Of a batch: samples (N) are the images of its rows, and placements where each lies in its input."""
        found = {}
        for task, learner in self.learners.items():
            present, truth = self._present[task][samples], self.truth[task]
            if present.all():
                found[task] = TaskTargets(learner.targets(truth, samples, placements), None)
            elif present.any():
                rows = np.flatnonzero(present)
                own = [placements[row] for row in rows.tolist()]
                found[task] = TaskTargets(learner.targets(truth, samples[rows], own), torch.from_numpy(rows))
        return found

    def loss(self, outputs: ByTask, targets: Targets) -> Tensor:
        """The weighted sum of the tasks' losses, each the sum of its parts."""
        return self.total(self.losses(outputs, targets))

    def losses(self, outputs: ByTask, targets: Targets) -> dict[str, Tensor]:
        """Of each task that an image has the truth of."""
        return {task: self._loss(task, outputs, own) for task, own in targets.items()}

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Their weighted sum."""
        if not losses:
            raise ValueError("no image of the batch has the truth of any task")
        if self.balance is not None:
            return self.balance.total(losses)
        return weighted_sum(losses, self.weights)

    def _loss(self, task: str, outputs: ByTask, own: TaskTargets) -> Tensor:
        parts = self.learners[task].loss(own.own(outputs[task]), own.targets).values()
        return reduce(torch.add, parts)

    def right(self, outputs: ByTask, targets: Targets) -> tuple[int, int]:
        """How many of how many are right, for the main task."""
        own = targets.get(self.main)
        if own is None:
            return 0, 0
        return self.learners[self.main].right(own.own(outputs[self.main]), own.targets)

    def mixed(self, targets: Targets, mix: Mix | Mosaic) -> Targets:
        """Of a batch whose rows were mixed. Raises UsageError where an image lacks a task's truth, or a learner can not mix."""
        found = {}
        for task, learner in self.learners.items():
            own = targets.get(task)
            if own is None or own.rows is not None:
                raise UsageError(
                    "MixUp, CutMix and mosaics need the truth of every task for every image, and some images have none of "
                    f"{task}. Leave those out, or set regularisation.mixup, cutmix and mosaic to 0."
                )
            found[task] = TaskTargets(learner.mixed(own.targets, mix), None)
        return found

    def records(self, outputs: ByTask, targets: Targets) -> dict[str, Any]:
        """What each task keeps of a batch for `validated`."""
        return {task: self.learners[task].record(own.own(outputs[task]), own.targets) for task, own in targets.items()}

    def calibrated(
        self, outputs: ByTask, samples: NDArray[np.int64], placements: Sequence[Placement]
    ) -> dict[str, dict[str, Any]]:
        """The postprocessing of each task, of a batch as in `targets`."""
        records = self.records(outputs, self.targets(samples, placements))
        return {task: self.learners[task].calibrate([record]) for task, record in records.items()}

    def validated(self, records: Sequence[Mapping[str, Any]]) -> Validation:
        """Of the records of all batches. A task that no validation image has the truth of is in no figure."""
        found = {}
        for task, learner in self.learners.items():
            own = [each[task] for each in records if task in each]
            if own:
                found[task] = learner.validated(own)
        loss = sum(self.weights.get(task, 1.0) * each.loss for task, each in found.items())
        figure = found[self.main].figure if self.main in found else 0.0
        return Validation(loss, figure, {} if [*self.learners] == [CLASSIFICATION] else found)
