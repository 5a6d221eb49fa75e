"""Learning from a teacher: half of what is learned are a person's words, half another network's answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.training.learners import learner_named
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.objective import ByTask, Objective, Targets

Teacher = Callable[[Tensor], ByTask]
"""From images (N, 3, H, W) to what the heads of another network put out, in eval mode."""


@dataclass(frozen=True, eq=False)
class TaughtTargets:
    """The objective's targets, and what the teacher puts out; None without one."""

    targets: Targets
    taught: ByTask | None


@dataclass(frozen=True, eq=False)
class Taught:
    """What tuning a finished network minimises. kinds: of each task. Tasks whose learner can not compare two networks' outputs
    (LearnerRow.apart) learn from the truth alone."""

    objective: Objective
    kinds: Mapping[str, str]
    teacher: Teacher | None = None

    @torch.no_grad()
    def targets(self, images: Tensor, targets: Targets) -> TaughtTargets:
        """images: (N, 3, H, W)."""
        return TaughtTargets(targets, None if self.teacher is None else self.teacher(images))

    def loss(self, outputs: ByTask, targets: TaughtTargets) -> Tensor:
        """Half the truth's and half the teacher's (Hinton et al. 2015, https://arxiv.org/abs/1503.02531)."""
        if targets.taught is None:
            return self.objective.loss(outputs, targets.targets)
        loss = self._halved.loss(outputs, targets.targets)
        for task, apart in self._apart.items():
            loss = loss + 0.5 * apart(outputs[task], targets.taught[task])
        return loss

    def right(self, outputs: ByTask, targets: TaughtTargets) -> tuple[int, int]:
        return self.objective.right(outputs, targets.targets)

    def mixed(self, targets: TaughtTargets, mix: Mix | Mosaic) -> Any:
        del targets, mix
        raise UsageError("MixUp and CutMix are for trainings, not for tuning a finished network.")

    @cached_property
    def _apart(self) -> dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]]:
        rows = {task: learner_named(self.kinds[task]) for task in self.objective.learners}
        return {task: row.apart for task, row in rows.items() if row.apart is not None}

    @cached_property
    def _halved(self) -> Objective:
        weights = {task: 0.5 * self.objective.weights.get(task, 1.0) for task in self._apart}
        return replace(self.objective, weights={**self.objective.weights, **weights})
