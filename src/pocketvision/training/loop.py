"""The plain loop: every parameter learns, from batches of images, with warm-up and cosine. For training from a random start, and
for what compression tunes afterwards."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import TrainingError, UsageError
from pocketvision.models.network import Network
from pocketvision.printable import counted
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.optimizer import make_optimizer


@dataclass(frozen=True)
class LoopSettings:
    """steps: in all. lr: the highest; it rises from a hundredth of it over `warmup` (a share of the steps), then falls along a
    half cosine to nothing. clip: gradients are scaled down to this norm. precision: of the forward pass ("bfloat16" by autocast).
    frozen_norms: batch norms keep their statistics, which batches of few images estimate badly."""

    steps: int
    lr: float
    weight_decay: float = 1e-4
    warmup: float = 0.1
    clip: float = 5.0
    precision: torch.dtype = torch.float32
    frozen_norms: bool = False


@dataclass(frozen=True)
class LoopStep:
    """After a step (from 1): the mean loss and accuracy of the last steps, and images a second since the beginning."""

    step: int
    loss: float
    accuracy: float
    images_per_second: float


def run_loop(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    settings: LoopSettings,
    *,
    learner: ClassLearner | None = None,
    teacher: nn.Module | None = None,
    on_step: Callable[[LoopStep], None] = lambda _: None,
) -> None:
    """Train `network`, from images to logits (N, classes), in place for `settings.steps` batches, (N, 3, H, W) and (N,) each, and
    leave it in eval mode.

    learner: None weighs all classes alike. teacher: a network in eval mode, from the same images to logits of the same classes,
    whose answers are half of what is learned (the labels are the other half); it is left as it is.
    Dropout and stochastic depth draw from torch's global random state. Raises TrainingError when the loss is not a number, or
    when `batches` ends early.
    """
    learner = learner or ClassLearner()
    network.to(memory_format=torch.channels_last).train()
    if settings.frozen_norms:
        _freeze_norms(network)
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    optimizer = make_optimizer(trained, lr=settings.lr, weight_decay=settings.weight_decay)
    started, seen, loss_mean, accuracy_mean = time.perf_counter(), 0, math.nan, math.nan
    source = iter(batches)
    for step in range(1, settings.steps + 1):
        batch = next(source, None)
        if batch is None:
            raise TrainingError(f"The batches ended after {step - 1} of {counted(settings.steps, 'step')}.")
        images, labels = batch
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _share_of_rate(step, settings)
        with _precision(settings.precision):
            logits = network(images.to(memory_format=torch.channels_last)).float()
        (loss,) = learner.loss({"logits": logits}, labels).values()
        if teacher is not None:
            loss = 0.5 * loss + 0.5 * _distillation(logits, teacher, images)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(f"The loss is not a number at step {step}. Lower the learning rate.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained.values(), settings.clip)
        optimizer.step()
        seen += len(labels)
        accuracy = float((logits.argmax(1) == labels).float().mean())
        loss_mean, accuracy_mean = _moved(loss_mean, value), _moved(accuracy_mean, accuracy)
        on_step(LoopStep(step, loss_mean, accuracy_mean, seen / (time.perf_counter() - started)))
    network.eval()


def require_tunable(network: Network) -> None:
    """Raise UsageError for a network that the loop can not tune: one with other heads than a single classifier."""
    kinds = [row.kind for row in network.head_rows.values()]
    if kinds != [CLASSIFICATION]:
        raise UsageError(
            f"This network answers {', '.join(network.head_rows)}. Tuning it further is for classifiers alone; train it anew "
            "instead, or take a step that tunes nothing."
        )


def _distillation(logits: Tensor, teacher: nn.Module, images: Tensor) -> Tensor:
    """How far the answers are from the teacher's: Hinton et al. (2015), https://arxiv.org/abs/1503.02531, at their temperature 2,
    whose square keeps the gradients' size."""
    with torch.no_grad():
        taught = teacher(images.to(memory_format=torch.channels_last)).float() / 2
    return 4 * F.kl_div((logits / 2).log_softmax(1), taught.log_softmax(1), reduction="batchmean", log_target=True)


def _share_of_rate(step: int, settings: LoopSettings) -> float:
    """Of the highest rate, at a step from 1."""
    rising = max(1, round(settings.warmup * settings.steps))
    if step <= rising:
        return 0.01 + 0.99 * step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, settings.steps - rising)))


def _moved(mean: float, value: float) -> float:
    """A mean over about the last 20 values."""
    return value if math.isnan(mean) else mean + 0.05 * (value - mean)


def _precision(dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=dtype)


def _freeze_norms(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
