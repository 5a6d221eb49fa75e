"""One stage of training: epochs over batches, validation, schedule, early stopping. Knows neither images nor networks."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.errors import TrainingError
from pocketvision.progress import EpochRecord, StepProgress
from pocketvision.training.averaging import WeightAverage, load
from pocketvision.training.objective import Objective, Targets, Validation
from pocketvision.training.optimizer import current_lr, make_optimizer, make_schedule, restore_optimizer


@dataclass(frozen=True)
class StageSettings:
    """What one stage is trained with.

    `patience` and `schedule_patience` count epochs without a lower validation loss.
    """

    number: int
    epochs: int
    lr: float
    batch: int = 32
    weight_decay: float = 1e-4
    patience: int = 7
    schedule: str = "plateau"
    schedule_patience: int = 3


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Inputs of the model being trained, by name, targets by task, and the sample each row comes from (N,)."""

    inputs: Mapping[str, Tensor]
    targets: Targets
    samples: NDArray[np.int64]


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
    objective: Objective,
    seed: int,
    statistics: Mapping[str, Tensor],
    name_of: Callable[[int], str],
    state: StageState | None = None,
    on_epoch: OnEpoch = lambda _: None,
    on_step: OnStep = lambda _: None,
) -> StageState:
    """Train the parameters of `model` (inputs to outputs by task) that require gradients; return the state after the last epoch.

    `batches(epoch)` yields one epoch's batches, from 1. `state` goes on where an earlier run stopped. The model is left with its
    *best* weights (lowest validation loss). `on_epoch` is handed each new state (to be written as a checkpoint). statistics:
    running ones of norms, by name, that are averaged and kept with the weights.
    Raises TrainingError, naming the batch's files, when the loss is not a number.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    learned = {**trained, **statistics}
    optimizer = make_optimizer(trained, lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = make_schedule(optimizer, settings.schedule, epochs=settings.epochs, patience=settings.schedule_patience)
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
            loss, right, rate = _train_epoch(
                model, optimizer, average, settings, epoch, batches(epoch), steps, objective, name_of, on_step
            )
        with average.in_place():
            validation = validate()
        record = EpochRecord(
            stage=settings.number,
            epoch=epoch,
            train_loss=loss,
            train_accuracy=right,
            val_loss=validation.loss,
            val_accuracy=validation.figure,
            lr=current_lr(optimizer),
            seconds=time.perf_counter() - started,
            images_per_second=rate,
            tasks=validation.columns,
        )
        schedule.step(validation.loss)
        states = (optimizer.state_dict(), schedule.state_dict())
        state = _advance(state, record, settings, learned, average.weights, *states)
        on_epoch(state)
    load(learned, state.best_weights)
    return state


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
    objective: Objective,
    name_of: Callable[[int], str],
    on_step: OnStep,
) -> tuple[float, float, float]:
    """One pass: returns mean loss, the share that was right and images per second."""
    started = time.perf_counter()
    total, right, judged, loss_sum = 0, 0, 0, 0.0
    for step, batch in enumerate(batches, start=1):
        outputs = model(batch.inputs)
        loss = objective.loss(outputs, batch.targets)
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
        found = objective.right(outputs, batch.targets)
        right, judged = right + found[0], judged + found[1]
        total += len(batch.samples)
        loss_sum += value * len(batch.samples)
        rate = total / (time.perf_counter() - started)
        on_step(StepProgress(settings.number, epoch, step, steps, loss_sum / total, right / max(judged, 1), rate))
    return loss_sum / total, right / max(judged, 1), total / (time.perf_counter() - started)


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
