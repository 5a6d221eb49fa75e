"""The engine: a phase of training, epoch by epoch. It knows a model, its batches and what to minimise; no images, no network."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.errors import TrainingError
from pocketvision.progress import EpochRecord, StepProgress
from pocketvision.training.averaging import WeightAverage, load, require_same_shapes
from pocketvision.training.balance import Balance
from pocketvision.training.best_epoch import is_better, is_finished
from pocketvision.training.device import begin_gpu_peak, gpu_memory
from pocketvision.training.mixing import Mix, Mosaic, mix
from pocketvision.training.objective import Validation
from pocketvision.training.optimizer import HEADS, current_lr, make_optimizer, restore_optimizer, set_lr
from pocketvision.training.out_of_memory import telling_of_memory
from pocketvision.training.peak_memory import begin_peak, peak_memory
from pocketvision.training.randomness import begin_step, left_alone
from pocketvision.training.schedule import Schedule, make_schedule
from pocketvision.training.settings import PhaseSettings, require_mixable
from pocketvision.training.underway import Keeping, Underway, timed
from pocketvision.training.update import update


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Inputs of the model being trained, by name, the objective's targets, and the sample each row comes from (N,)."""

    inputs: Mapping[str, Tensor]
    targets: Any
    samples: NDArray[np.int64]


class Minimised(Protocol):
    """What is minimised (objective.py; distillation.py). Targets are of its own making."""

    def loss(self, outputs: Any, targets: Any) -> Tensor: ...

    def right(self, outputs: Any, targets: Any) -> tuple[int, int]:
        """How many of how many are right, for people to watch."""

    def mixed(self, targets: Any, mix: Mix | Mosaic) -> Any:
        """Of a batch whose rows were mixed. Raises UsageError for targets that can not be."""


@dataclass(frozen=True, eq=False)
class State:
    """All that a phase needs to go on after any of its steps and end bit-equal to an unbroken run. Of generators there is no
    state: each step begins its own (randomness.py).

    weights: the last step's. average: what is validated, their moving average where there is one, that `updates` steps went into.
    best_weights: the average of the best epoch, none before the first has ended. features: those that heads of several read
    since, by task, where the phase chose them. balance: what was learned about the weights of several tasks (balance.py).
    underway: the epoch after those of the history, where it has begun. scaler: of losses in float16 (torch.amp.GradScaler).
    """

    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer: Mapping[str, object]
    schedule: Mapping[str, float]
    history: tuple[EpochRecord, ...]
    best_epoch: int
    finished: bool
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    balance: Mapping[str, float] = field(default_factory=dict)
    underway: Underway = field(default_factory=Underway)
    updates: int = 0
    scaler: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> EpochRecord:
        return self.history[self.best_epoch - 1]


@dataclass(frozen=True, eq=False)
class Learning:
    """What changes while a phase learns: the parameters, the statistics kept with them, and the optimizer, schedule and average
    that go with them; of several tasks, how they are weighed."""

    parameters: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor]
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    average: WeightAverage
    balance: Balance | None = None
    scaler: torch.amp.GradScaler | None = None

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    @property
    def learned(self) -> dict[str, Tensor]:
        return {**self.parameters, **self.statistics}


Batches = Callable[[int, int], Iterable[TrainingBatch]]
OnState = Callable[[State], None]
OnStep = Callable[[StepProgress], None]
Replan = Callable[[PhaseSettings, Sequence[EpochRecord]], int]
"""How many epochs a phase has, asked after each of them: of its settings and its history."""


def as_planned(settings: PhaseSettings, history: Sequence[EpochRecord]) -> int:
    """As many as its settings say."""
    del history
    return settings.epochs


def fit(
    model: nn.Module,
    settings: PhaseSettings,
    *,
    batches: Batches,
    steps: int,
    objective: Minimised,
    validate: Callable[[], Validation],
    seed: int,
    statistics: Mapping[str, Tensor],
    name_of: Callable[[int], str] = str,
    depth_of: Callable[[str], int] = lambda _: 0,
    balance: Balance | None = None,
    state: State | None = None,
    on_state: OnState = lambda _: None,
    on_step: OnStep = lambda _: None,
    replan: Replan = as_planned,
) -> State:
    """Train the parameters of `model` that require gradients; return the state after the last epoch.

    `batches(epoch, first)` yields the batches of an epoch (from 1) that come after its first `first`, of `steps` in all. `state`
    goes on where an earlier run stopped. The model is left with its *best* weights (best_epoch.py). `on_state` is handed each new
    state, to be written as a checkpoint: after each epoch, and within one as often as the settings say.
    replan: may shorten or lengthen the phase at an epoch's end; the schedule is run to its end all the same.
    balance: weighs several tasks, for the objective. statistics: running ones of norms, by name, that are averaged and kept with
    the weights. depth_of: as in make_optimizer.
    Whatever is drawn is a function of the seed, the phase, the epoch and the step.
    Raises TrainingError, naming the batch's files, when the loss or a weight is not a number, and when memory runs out, and
    UsageError for what can not be mixed.
    """
    require_mixable(settings.regularisation, settings.batch)
    learning = _begun(model, settings, steps, statistics, depth_of, balance, state)
    while state is None or not state.finished:
        epoch = 1 if state is None else len(state.history) + 1
        started = time.perf_counter()
        begin_peak()
        begin_gpu_peak(learning.device)
        begun = Underway(of=steps) if state is None or state.underway.of != steps else state.underway
        keep = Keeping(settings.checkpoints.seconds, partial(_kept, state, learning, on_state))
        with left_alone(), telling_of_memory(settings):
            done = _epoch(model, learning, settings, epoch, begun, batches, objective, seed, name_of, on_step, keep)
        with learning.average.in_place(), telling_of_memory(settings):
            validation = validate()
        learning.schedule.ended(validation.loss)
        seconds = begun.seconds + time.perf_counter() - started
        record = _record(settings, epoch, done, validation, learning, seconds)
        settings = _replanned(settings, replan(settings, (*(state.history if state else ()), record)), epoch, learning)
        state = _advanced(state, record, settings, learning)
        on_state(state)
    load(learning.learned, state.best_weights)
    return state


def extended(state: State, settings: PhaseSettings) -> State:
    """The same state judged by other settings: a finished phase can be given more epochs, or be cut short."""
    return replace(
        state, finished=is_finished(state.history, settings.epochs, settings.patience, settings.min_improvement)
    )


def _begun(
    model: nn.Module,
    settings: PhaseSettings,
    steps: int,
    statistics: Mapping[str, Tensor],
    depth_of: Callable[[str], int],
    balance: Balance | None,
    state: State | None,
) -> Learning:
    """What learns, at the phase's beginning or as `state` left it."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = make_optimizer(trained, settings.optimizer, lr=settings.lr, depth_of=depth_of)
    schedule = make_schedule(settings.schedule, epochs=settings.epochs, steps=steps, replanned=settings.replanned)
    average = WeightAverage({**trained, **statistics}, steps, settings.regularisation.ema)
    if balance is not None:
        shared = [parameter for name, parameter in trained.items() if not name.startswith(HEADS)]
        if settings.optimizer.accumulate > 1:
            shared = []  # the loss of a batch in parts hangs on what was put out alone (update.py)
        numbers, cosines = ({}, {}) if state is None else (state.balance, state.underway.cosines)
        balance.begin(shared, numbers, cosines)
    if state is not None:
        require_same_shapes({**trained, **statistics}, state.weights)
        load({**trained, **statistics}, state.weights)
        average.restore(state.average, updates=state.updates)
        restore_optimizer(optimizer, state.optimizer)
        schedule.restore(state.schedule)
    learning = Learning(trained, statistics, optimizer, schedule, average, balance)
    if not settings.scaled:
        return learning
    scaler = torch.amp.GradScaler(learning.device.type)
    if state is not None and state.scaler:
        scaler.load_state_dict(dict(state.scaler))
    return replace(learning, scaler=scaler)


def _replanned(settings: PhaseSettings, epochs: int, done: int, learning: Learning) -> PhaseSettings:
    """The settings of a phase that has `epochs` epochs from now on."""
    if epochs == settings.epochs:
        return settings
    learning.schedule.replan(done, epochs)
    return replace(settings, epochs=epochs, replanned=learning.schedule.replanned)


def _epoch(
    model: nn.Module,
    learning: Learning,
    settings: PhaseSettings,
    epoch: int,
    begun: Underway,
    batches: Batches,
    objective: Minimised,
    seed: int,
    name_of: Callable[[int], str],
    on_step: OnStep,
    keep: Keeping,
) -> Underway:
    """One pass, or what is left of one that has begun; what it came to."""
    done, started = begun, time.perf_counter() - begun.seconds
    for batch, waited in timed(batches(epoch, begun.steps)):
        step = done.steps + 1
        random = begin_step(seed, settings.number, epoch, step)
        set_lr(learning.optimizer, settings.lr * learning.schedule.share(epoch, step - 1))
        inputs, mixed = mix(batch.inputs, settings.regularisation, random)
        targets = batch.targets if mixed is None else objective.mixed(batch.targets, mixed)
        loss = partial(_loss_of, objective, targets)
        taken = update(
            model, inputs, loss, learning.parameters, learning.optimizer, settings.optimizer, learning.scaler
        )
        if not (taken.is_finite and _are_numbers(learning.parameters.values())):
            what = "weights are" if taken.is_finite else "loss is"
            raise _not_a_number(what, settings, epoch, step, [name_of(int(sample)) for sample in batch.samples])
        found, seconds = objective.right(taken.outputs, targets), time.perf_counter() - started
        done = done.after(len(batch.samples), taken.loss, found, seconds=seconds, waited=waited)
        on_step(StepProgress(settings.number, epoch, step, done.of, done.mean_loss, done.share_right, done.rate))
        learning.average.update()  # of what whoever heard of the step has made of the weights: pruned ones stay at zero
        keep(done)
    return done


def _loss_of(objective: Minimised, targets: Any, outputs: Any) -> Tensor:
    return objective.loss(outputs, targets)


def _are_numbers(weights: Iterable[Tensor]) -> bool:
    """Whether an update left all of them finite."""
    return bool(torch.isfinite(torch.nn.utils.get_total_norm(weights)))


def _not_a_number(what: str, settings: PhaseSettings, epoch: int, step: int, files: list[str]) -> TrainingError:
    number = settings.number
    return TrainingError(
        f"The {what} not a number (phase {number}, epoch {epoch}, batch {step}). The batch's files: {', '.join(files)}. Lower "
        f"the learning rate (--set phases.{number}.lr={settings.lr / 2:.3g}), or look at these images."
    )


def _record(
    settings: PhaseSettings, epoch: int, done: Underway, validation: Validation, learning: Learning, seconds: float
) -> EpochRecord:
    weighed = {} if learning.balance is None else learning.balance.epoch_ended()
    return EpochRecord(
        stage=settings.number,
        epoch=epoch,
        train_loss=done.mean_loss,
        train_accuracy=done.share_right,
        val_loss=validation.loss,
        val_accuracy=validation.figure,
        lr=current_lr(learning.optimizer),
        seconds=seconds,
        images_per_second=done.rate,
        tasks={**validation.columns, **weighed},
        waiting=done.share_waiting,
        peak_memory=peak_memory(),
        gpu_memory=gpu_memory(learning.device),
    )


def _advanced(before: State | None, record: EpochRecord, settings: PhaseSettings, learning: Learning) -> State:
    """The state after an epoch."""
    history = (*(before.history if before else ()), record)
    better = before is None or not before.history or is_better(record, before.best, history)
    finished = is_finished(history, settings.epochs, settings.patience, settings.min_improvement)
    state = _state(before, learning, Underway())
    best_weights, best_epoch = (state.average, record.epoch) if better else (state.best_weights, state.best_epoch)
    return replace(state, history=history, best_weights=best_weights, best_epoch=best_epoch, finished=finished)


def _kept(before: State | None, learning: Learning, on_state: OnState, done: Underway) -> None:
    """Hand over the state within an epoch."""
    cosines = {} if learning.balance is None else dict(learning.balance.cosines)
    on_state(_state(before, learning, replace(done, cosines=cosines)))


def _state(before: State | None, learning: Learning, underway: Underway) -> State:
    """What has been learned until now; history and best weights are those of `before`."""
    return State(
        weights={name: tensor.detach().to("cpu", copy=True) for name, tensor in learning.learned.items()},
        average={name: tensor.to("cpu", copy=True) for name, tensor in learning.average.weights.items()},
        best_weights={} if before is None else before.best_weights,
        optimizer=learning.optimizer.state_dict(),
        schedule=learning.schedule.state(),
        history=() if before is None else before.history,
        best_epoch=0 if before is None else before.best_epoch,
        finished=False,
        balance={} if learning.balance is None else dict(learning.balance.rule.numbers),
        underway=underway,
        updates=learning.average.updates,
        scaler={} if learning.scaler is None else learning.scaler.state_dict(),
    )
