"""Learning from a teacher: half of the loss is the labels', half how far the answers are from another network's."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.mixing import Mix

TEMPERATURE = 2.0


@dataclass(frozen=True, eq=False)
class TaughtTargets:
    """Labels (N) int64, and the teacher's logits (N, classes); None without one."""

    labels: Tensor
    taught: Tensor | None


@dataclass(frozen=True, eq=False)
class ClassesAndTeacher:
    """What tuning a finished classifier minimises, on outputs by name of which `logits` are (N, classes).

    teacher: a network in eval mode, from the same images to logits of the same classes; it is left as it is.
    """

    learner: ClassLearner
    teacher: nn.Module | None = None

    @torch.no_grad()
    def targets(self, images: Tensor, labels: Tensor) -> TaughtTargets:
        """images: (N, 3, H, W)."""
        return TaughtTargets(labels, None if self.teacher is None else self.teacher(images).float())

    def loss(self, outputs: Mapping[str, Tensor], targets: TaughtTargets) -> Tensor:
        """Hinton et al. (2015), https://arxiv.org/abs/1503.02531, at their temperature 2, whose square keeps the gradients'
        size."""
        (loss,) = self.learner.loss(outputs, targets.labels).values()
        if targets.taught is None:
            return loss
        said, taught = (each / TEMPERATURE for each in (outputs["logits"], targets.taught))
        apart = F.kl_div(said.log_softmax(1), taught.log_softmax(1), reduction="batchmean", log_target=True)
        return 0.5 * loss + 0.5 * TEMPERATURE**2 * apart

    def right(self, outputs: Mapping[str, Tensor], targets: TaughtTargets) -> tuple[int, int]:
        return self.learner.right(outputs, targets.labels)

    def mixed(self, targets: TaughtTargets, mix: Mix) -> TaughtTargets:
        del targets, mix
        raise UsageError("MixUp and CutMix are for trainings, not for tuning a finished network.")
