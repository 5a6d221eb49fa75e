"""Tuning a finished network for some steps: what pruning, 8 bits and a smaller input are followed by."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision.errors import TrainingError
from pocketvision.printable import counted
from pocketvision.progress import StepProgress
from pocketvision.tasks.catalog import kind_of
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.distillation import Taught, TaughtTargets
from pocketvision.training.engine import TrainingBatch, fit
from pocketvision.training.inputs import IMAGES
from pocketvision.training.objective import ByTask, Objective, Targets, TaskTargets, Validation
from pocketvision.training.settings import OptimizerSettings, PhaseSettings, RegularisationSettings, ScheduleSettings


@dataclass(frozen=True)
class TuneSettings:
    """steps: in all. lr: the highest; it rises over a tenth of the steps, then falls along a half cosine to nothing."""

    steps: int
    lr: float
    weight_decay: float = 1e-4


class _Named(nn.Module):
    """From a batch's images to what the heads put out, by task and role. alone: as in said_by_task."""

    def __init__(self, network: nn.Module, alone: str) -> None:
        super().__init__()
        self.network, self.alone = network, alone

    def forward(self, inputs: Mapping[str, Tensor]) -> ByTask:
        return said_by_task(self.network(inputs[IMAGES].to(memory_format=torch.channels_last)), self.alone)


def said_by_task(said: Any, alone: str = CLASSIFICATION) -> ByTask:
    """What a network's forward gives (logits where classification is alone, else by TASK.ROLE), in float32. alone: what the task
    is called then."""
    if isinstance(said, Tensor):
        return {alone: {"logits": said.float()}}
    found: dict[str, dict[str, Tensor]] = {}
    for name, values in said.items():
        task, role = name.split(".")
        found.setdefault(task, {})[role] = values.float()
    return found


def of_classes(labels: Tensor) -> Targets:
    """Targets of a classifier alone, from labels (N)."""
    return {CLASSIFICATION: TaskTargets(labels, None)}


def learning_classes(learner: ClassLearner | None = None) -> Objective:
    """What a classifier alone minimises, on targets of `of_classes`. learner: None weighs all classes alike."""
    return Objective({CLASSIFICATION: learner or ClassLearner()}, {})


def tune(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Targets]],
    settings: TuneSettings,
    *,
    objective: Objective,
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
    teacher: nn.Module | None = None,
    on_step: Callable[[StepProgress], None] = lambda _: None,
) -> None:
    """Train `network`, which answers images as Network.forward does, in place for `settings.steps` batches of images (N, 3, H, W)
    and the objective's targets, and leave it in eval mode, as it was after the last step.

    kinds: of the objective's tasks; None tells them by their truth, and calls each by its name where there is none. teacher: a
    network with the same heads in eval mode, whose answers to the same images are half of what is learned (distillation.py); it
    is left as it is.
    Raises TrainingError when the loss is not a number, or when `batches` ends early.
    """
    network.to(memory_format=torch.channels_last).train()
    alone = next(iter(objective.learners))
    found = {task: kind_of(task, own) for task, own in objective.truth.items()}
    taught = Taught(objective, kinds or {task: found.get(task, task) for task in objective.learners})

    @torch.no_grad()
    def answered(images: Tensor) -> ByTask | None:
        return None if teacher is None else said_by_task(teacher(images), alone)

    def fed(epoch: int, first: int) -> Iterator[TrainingBatch]:
        del epoch, first
        source = iter(batches)
        for step in range(settings.steps):
            batch = next(source, None)
            if batch is None:
                raise TrainingError(f"The batches ended after {step} of {counted(settings.steps, 'step')}.")
            images, targets = batch
            images = images.to(memory_format=torch.channels_last)
            yield TrainingBatch({IMAGES: images}, TaughtTargets(targets, answered(images)), np.arange(len(images)))

    fit(
        _Named(network, alone),
        PhaseSettings(
            1,
            epochs=1,
            lr=settings.lr,
            optimizer=OptimizerSettings(weight_decay=settings.weight_decay, clip=5.0),
            schedule=ScheduleSettings("cosine", warmup=0.1),
            regularisation=RegularisationSettings(ema=0.0),
        ),
        batches=fed,
        steps=settings.steps,
        objective=taught,
        validate=lambda: Validation(0.0, 0.0, {}),
        seed=seed,
        statistics={},
        name_of=lambda row: f"image {row + 1} of the batch",
        on_step=on_step,
    )
    network.eval()
