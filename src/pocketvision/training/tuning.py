"""Tuning a finished classifier for some steps: what pruning, 8 bits and a smaller input are followed by."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision.errors import TrainingError, UsageError
from pocketvision.models.network import Network
from pocketvision.printable import counted
from pocketvision.progress import StepProgress
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.distillation import ClassesAndTeacher
from pocketvision.training.engine import TrainingBatch, fit
from pocketvision.training.inputs import IMAGES
from pocketvision.training.objective import Validation
from pocketvision.training.settings import OptimizerSettings, PhaseSettings, RegularisationSettings, ScheduleSettings


@dataclass(frozen=True)
class TuneSettings:
    """steps: in all. lr: the highest; it rises over a tenth of the steps, then falls along a half cosine to nothing."""

    steps: int
    lr: float
    weight_decay: float = 1e-4


class _Logits(nn.Module):
    """From a batch's images to its logits, by name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = inputs[IMAGES].to(memory_format=torch.channels_last)
        return {"logits": self.network(images).float()}


def tune(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    settings: TuneSettings,
    *,
    seed: int = 0,
    learner: ClassLearner | None = None,
    teacher: nn.Module | None = None,
    on_step: Callable[[StepProgress], None] = lambda _: None,
) -> None:
    """Train `network`, from images to logits (N, classes), in place for `settings.steps` batches, (N, 3, H, W) and (N,) each, and
    leave it in eval mode, as it was after the last step.

    learner: None weighs all classes alike. teacher: a network in eval mode, from the same images to logits of the same classes,
    whose answers are half of what is learned (the labels are the other half); it is left as it is.
    Raises TrainingError when the loss is not a number, or when `batches` ends early.
    """
    network.to(memory_format=torch.channels_last).train()
    objective = ClassesAndTeacher(learner or ClassLearner(), teacher)

    def taught(epoch: int) -> Iterator[TrainingBatch]:
        del epoch
        source = iter(batches)
        for step in range(settings.steps):
            batch = next(source, None)
            if batch is None:
                raise TrainingError(f"The batches ended after {step} of {counted(settings.steps, 'step')}.")
            images, labels = batch
            images = images.to(memory_format=torch.channels_last)
            yield TrainingBatch({IMAGES: images}, objective.targets(images, labels), np.arange(len(labels)))

    fit(
        _Logits(network),
        PhaseSettings(
            1,
            epochs=1,
            lr=settings.lr,
            optimizer=OptimizerSettings(weight_decay=settings.weight_decay, clip=5.0),
            schedule=ScheduleSettings("cosine", warmup=0.1),
            regularisation=RegularisationSettings(ema=0.0),
        ),
        batches=taught,
        steps=settings.steps,
        objective=objective,
        validate=lambda: Validation(0.0, 0.0, {}),
        seed=seed,
        statistics={},
        name_of=lambda row: f"image {row + 1} of the batch",
        on_step=on_step,
    )
    network.eval()


def require_tunable(network: Network) -> None:
    """Raise UsageError for a network that can not be tuned: one with other heads than a single classifier."""
    kinds = [row.kind for row in network.head_rows.values()]
    if kinds != [CLASSIFICATION]:
        raise UsageError(
            f"This network answers {', '.join(network.head_rows)}. Tuning it further is for classifiers alone; train it anew "
            "instead, or take a step that tunes nothing (prune --epochs 0; 8 bits without --tune-epochs)."
        )
