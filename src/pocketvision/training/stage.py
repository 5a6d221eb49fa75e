"""One stage of training: epochs over batches, validation, schedule, early stopping. Knows neither images nor networks."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import TrainingError
from pocketvision.training.averaging import WeightAverage, load
from pocketvision.training.figures import EpochRecord, StepProgress
from pocketvision.training.optimizer import current_lr, make_optimizer, make_schedule, restore_optimizer


@dataclass(frozen=True)
class StageSettings:
    """What one stage is trained with.

    `patience` and `schedule_patience` count epochs without a lower validation loss; `label_smoothing` is in [0, 1).
    """

    number: int
    epochs: int
    lr: float
    batch: int = 32
    weight_decay: float = 1e-4
    patience: int = 7
    schedule: str = "plateau"
    schedule_patience: int = 3
    label_smoothing: float = 0.0


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Inputs of the model being trained, by name, labels (N,) int64, and the sample each row comes from (N,)."""

    inputs: Mapping[str, Tensor]
    labels: Tensor
    samples: np.ndarray


@dataclass(frozen=True)
class Validation:
    """Mean cross-entropy in nats (unweighted, no smoothing) and accuracy in [0, 1] over the validation split."""

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class StageState:
    """All that a stage needs to go on after any epoch and end bit-equal to an unbroken run.

    weights: the last step's. average: their moving average, which is what was validated. best_weights: the average of the
    best epoch.
    """

    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer: Mapping[str, object]
    schedule: Mapping[str, object]
    history: tuple[EpochRecord, ...]
    best_epoch: int
    finished: bool

    @property
    def best(self) -> EpochRecord:
        return self.history[self.best_epoch - 1]


Batches = Callable[[int], Iterable[TrainingBatch]]
OnEpoch = Callable[[StageState], None]
OnStep = Callable[[StepProgress], None]


def run_stage(
    model: nn.Module,
    settings: StageSettings,
    *,
    batches: Batches,
    steps: int,
    validate: Callable[[], Validation],
    class_weights: Tensor | None,
    seed: int,
    statistics: bool = False,
    name_of: Callable[[int], str],
    state: StageState | None = None,
    on_epoch: OnEpoch = lambda _: None,
    on_step: OnStep = lambda _: None,
) -> StageState:
    """Train the parameters of `model` that require gradients; return the state after the last epoch.

    `batches(epoch)` yields one epoch's batches (1-based epoch). `state` goes on where an earlier run stopped. The model is left
    with its *best* weights (lowest validation loss). `on_epoch` is handed each new state (to be written as a checkpoint).
    statistics: the running statistics of norms are averaged and kept with the weights.
    Raises TrainingError, naming the batch's files, when the loss is not a number.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = make_optimizer(trained, lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = make_schedule(optimizer, settings.schedule, epochs=settings.epochs, patience=settings.schedule_patience)
    learned = {**trained, **(_statistics(model) if statistics else {})}
    average = WeightAverage(learned, steps)
    if state is not None:
        load(learned, state.weights)
        average.restore(state.average, updates=steps * len(state.history))
        restore_optimizer(optimizer, state.optimizer)
        schedule.load_state_dict(dict(state.schedule))
    while state is None or not state.finished:
        epoch = 1 if state is None else len(state.history) + 1
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_epoch_seed(seed, settings.number, epoch))
            loss, accuracy, rate = _train_epoch(
                model, optimizer, average, settings, epoch, batches(epoch), steps, class_weights, name_of, on_step
            )
        with average.in_place():
            validation = validate()
        record = EpochRecord(
            stage=settings.number,
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=validation.loss,
            val_accuracy=validation.accuracy,
            lr=current_lr(optimizer),
            seconds=time.perf_counter() - started,
            images_per_second=rate,
        )
        schedule.step(validation.loss)
        state = _advance(
            state, record, settings, learned, average.weights, optimizer.state_dict(), schedule.state_dict()
        )
        on_epoch(state)
    load(learned, state.best_weights)
    return state


def _statistics(model: nn.Module) -> dict[str, Tensor]:
    """The running means and variances of the norms."""
    return {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}


def extended(state: StageState, epochs: int, patience: int) -> StageState:
    """The same state judged by another number of epochs: a finished stage can be given more, or cut short."""
    done = len(state.history)
    return replace(state, finished=_is_finished(done, state.best_epoch, epochs, patience))


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    settings: StageSettings,
    epoch: int,
    batches: Iterable[TrainingBatch],
    steps: int,
    class_weights: Tensor | None,
    name_of: Callable[[int], str],
    on_step: OnStep,
) -> tuple[float, float, float]:
    """One pass: returns mean loss, accuracy and images per second."""
    started = time.perf_counter()
    total, right, loss_sum = 0, 0, 0.0
    for step, batch in enumerate(batches, start=1):
        logits = model(batch.inputs)
        loss = F.cross_entropy(logits, batch.labels, weight=class_weights, label_smoothing=settings.label_smoothing)
        value = loss.item()
        if not np.isfinite(value):
            files = ", ".join(name_of(int(sample)) for sample in batch.samples)
            raise TrainingError(
                f"The loss is not a number (stage {settings.number}, epoch {epoch}, batch {step}). "
                f"The batch's files: {files}. Lower the learning rate (--lr{settings.number}), or look at these images."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update()
        total += len(batch.labels)
        right += int((logits.argmax(1) == batch.labels).sum())
        loss_sum += value * len(batch.labels)
        rate = total / (time.perf_counter() - started)
        on_step(StepProgress(settings.number, epoch, step, steps, loss_sum / total, right / total, rate))
    return loss_sum / total, right / total, total / (time.perf_counter() - started)


def _advance(
    before: StageState | None,
    record: EpochRecord,
    settings: StageSettings,
    trained: Mapping[str, Tensor],
    average: Mapping[str, Tensor],
    optimizer: Mapping[str, object],
    schedule: Mapping[str, object],
) -> StageState:
    history = (*(before.history if before else ()), record)
    weights = {name: parameter.detach().clone() for name, parameter in trained.items()}
    averaged = {name: tensor.clone() for name, tensor in average.items()}
    if before is None or record.val_loss < before.best.val_loss:
        best_weights, best_epoch = averaged, record.epoch
    else:
        best_weights, best_epoch = dict(before.best_weights), before.best_epoch
    finished = _is_finished(record.epoch, best_epoch, settings.epochs, settings.patience)
    return StageState(weights, averaged, best_weights, optimizer, schedule, history, best_epoch, finished)


def _is_finished(done: int, best_epoch: int, epochs: int, patience: int) -> bool:
    return done >= epochs or done - best_epoch >= patience


def _epoch_seed(seed: int, stage: int, epoch: int) -> int:
    """Every epoch has its own random stream, so a resumed epoch draws what the unbroken run drew."""
    return int(np.random.SeedSequence([seed, stage, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
