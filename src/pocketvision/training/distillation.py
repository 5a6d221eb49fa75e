"""Learning from teachers: a share of what is minimised is another network's answers, the rest a person's words.

Hinton et al. 2015, https://arxiv.org/abs/1503.02531.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.training.learner import Outputs
from pocketvision.training.learners import learner_named
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.objective import ByTask, Objective, Targets
from pocketvision.training.soft_classes import TEMPERATURE


@dataclass(frozen=True, eq=False)
class TaughtTargets:
    """The objective's targets, and what the teacher puts out for the same rows, by task and role; None without one. mix: how the
    rows were mixed since."""

    targets: Targets
    taught: ByTask | None
    mix: Mix | None = None


@dataclass(frozen=True, eq=False)
class Taught:
    """Of each task (1 - alpha) times the objective's loss and alpha times how far the answers are from the teacher's, softened by
    temperature where they are scores of classes. kinds: of each task. Tasks that the teacher does not answer, or whose learner
    can not compare two networks' outputs (LearnerRow.apart), learn from the truth alone."""

    objective: Objective
    kinds: Mapping[str, str]
    alpha: float = 0.5
    temperature: float = TEMPERATURE

    def loss(self, outputs: ByTask, targets: TaughtTargets) -> Tensor:
        taught = targets.taught
        if taught is None:
            return self.objective.loss(outputs, targets.targets)
        losses = self.objective.losses(outputs, targets.targets)
        for task, apart in self._apart.items():
            if task in taught:
                soft = self.alpha * self._mixed_apart(apart, outputs[task], taught[task], targets.mix)
                losses[task] = (1 - self.alpha) * losses[task] + soft if task in losses else soft
        return self.objective.total(losses)

    def right(self, outputs: ByTask, targets: TaughtTargets) -> tuple[int, int]:
        return self.objective.right(outputs, targets.targets)

    def mixed(self, targets: TaughtTargets, mix: Mix | Mosaic) -> TaughtTargets:
        """Rows that were blended have both teachings by their shares. Raises UsageError for a mosaic, whose four pictures the
        teacher has not seen together, and as the objective does."""
        if isinstance(mix, Mosaic) and targets.taught is not None:
            raise UsageError(
                "A teacher answers pictures, and a mosaic is none that it has seen. Set regularisation.mosaic to 0, or leave "
                "the teacher out."
            )
        own = self.objective.mixed(targets.targets, mix)
        return TaughtTargets(own, targets.taught, mix if isinstance(mix, Mix) else None)

    def _mixed_apart(
        self, apart: Callable[[Outputs, Outputs, float], Tensor], said: Outputs, taught: Outputs, mix: Mix | None
    ) -> Tensor:
        own = apart(said, taught, self.temperature)
        if mix is None:
            return own
        partners = {role: values[mix.order] for role, values in taught.items()}
        return mix.share * own + (1 - mix.share) * apart(said, partners, self.temperature)

    @cached_property
    def _apart(self) -> dict[str, Callable[[Outputs, Outputs, float], Tensor]]:
        rows = {task: learner_named(self.kinds[task]) for task in self.objective.learners}
        return {task: row.apart for task, row in rows.items() if row.apart is not None}
