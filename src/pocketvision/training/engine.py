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
from pocketvision.training.averaging import WeightAverage, load
from pocketvision.training.balance import Balance
from pocketvision.training.best_epoch import is_better
from pocketvision.training.mixing import Mix, Mosaic, mix
from pocketvision.training.objective import Validation
from pocketvision.training.optimizer import HEADS, current_lr, make_optimizer, restore_optimizer, set_lr
from pocketvision.training.schedule import Schedule, make_schedule
from pocketvision.training.settings import PhaseSettings, require_mixable
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
    """All that a phase needs to go on after any epoch and end bit-equal to an unbroken run.

    weights: the last step's. average: what was validated, their moving average where there is one. best_weights: the average of
    the best epoch. features: those that heads of several read since, by task, where the phase chose them. balance: what was
    learned about the weights of several tasks (balance.py).
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

    @property
    def best(self) -> EpochRecord:
        return self.history[self.best_epoch - 1]


@dataclass(frozen=True, eq=False)
class Learning:
    """What changes while a phase learns: the parameters, and the optimizer, schedule and average that go with them; of several
    tasks, how they are weighed."""

    parameters: Mapping[str, Tensor]
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    average: WeightAverage
    balance: Balance | None = None


Batches = Callable[[int], Iterable[TrainingBatch]]
OnEpoch = Callable[[State], None]
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
    on_epoch: OnEpoch = lambda _: None,
    on_step: OnStep = lambda _: None,
    replan: Replan = as_planned,
) -> State:
    """Train the parameters of `model` that require gradients; return the state after the last epoch.

    `batches(epoch)` yields one epoch's `steps` batches, from 1. `state` goes on where an earlier run stopped. The model is left
    with its *best* weights (best_epoch.py). `on_epoch` is handed each new state (to be written as a checkpoint).
    replan: may shorten or lengthen the phase at an epoch's end; the schedule is run to its end all the same.
    balance: weighs several tasks, for the objective. statistics: running ones of norms, by name, that are averaged and kept with
    the weights. depth_of: as in make_optimizer.
    Whatever is drawn is a function of the seed, the phase, the epoch and the step.
    Raises TrainingError, naming the batch's files, when the loss is not a number, and UsageError for what can not be mixed.
    """
    require_mixable(settings.regularisation, settings.batch)
    learning = _begun(model, settings, steps, statistics, depth_of, balance, state)
    learned = {**learning.parameters, **statistics}
    while state is None or not state.finished:
        epoch = 1 if state is None else len(state.history) + 1
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            loss, right, rate = _epoch(
                model, learning, settings, epoch, batches(epoch), steps, objective, seed, name_of, on_step
            )
        with learning.average.in_place():
            validation = validate()
        learning.schedule.ended(validation.loss)
        record = EpochRecord(
            stage=settings.number,
            epoch=epoch,
            train_loss=loss,
            train_accuracy=right,
            val_loss=validation.loss,
            val_accuracy=validation.figure,
            lr=current_lr(learning.optimizer),
            seconds=time.perf_counter() - started,
            images_per_second=rate,
            tasks={**validation.columns, **({} if balance is None else balance.epoch_ended())},
        )
        settings = _replanned(settings, replan(settings, (*(state.history if state else ()), record)), epoch, learning)
        state = _advanced(state, record, settings, learned, learning)
        on_epoch(state)
    load(learned, state.best_weights)
    return state


def extended(state: State, epochs: int, patience: int) -> State:
    """The same state judged by another number of epochs: a finished phase can be given more, or cut short."""
    done = len(state.history)
    return replace(state, finished=_is_finished(done, state.best_epoch, epochs, patience))


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
        balance.begin(shared, {} if state is None else state.balance)
    if state is not None:
        load({**trained, **statistics}, state.weights)
        average.restore(state.average, updates=steps * len(state.history))
        restore_optimizer(optimizer, state.optimizer)
        schedule.restore(state.schedule)
    return Learning(trained, optimizer, schedule, average, balance)


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
    batches: Iterable[TrainingBatch],
    steps: int,
    objective: Minimised,
    seed: int,
    name_of: Callable[[int], str],
    on_step: OnStep,
) -> tuple[float, float, float]:
    """One pass: the mean loss, the share that was right, and images a second."""
    started = time.perf_counter()
    total, right, judged, loss_sum = 0, 0, 0, 0.0
    for step, batch in enumerate(batches):
        random = np.random.default_rng(
            [seed, settings.number, epoch, step + 1]
        )  # 0 would be the stream of the epoch's order
        # torch.manual_seed sees to every device: 118 µs a step against 1.
        torch.default_generator.manual_seed(int(random.integers(2**63)))
        set_lr(learning.optimizer, settings.lr * learning.schedule.share(epoch, step))
        inputs, mixed = mix(batch.inputs, settings.regularisation, random)
        targets = batch.targets if mixed is None else objective.mixed(batch.targets, mixed)
        loss = partial(_loss_of, objective, targets)
        taken = update(model, inputs, loss, learning.parameters, learning.optimizer, settings.optimizer)
        if not taken.is_finite:
            raise _not_a_number(settings, epoch, step + 1, [name_of(int(sample)) for sample in batch.samples])
        found = objective.right(taken.outputs, targets)
        right, judged, total = right + found[0], judged + found[1], total + len(batch.samples)
        loss_sum += taken.loss * len(batch.samples)
        rate = total / (time.perf_counter() - started)
        on_step(StepProgress(settings.number, epoch, step + 1, steps, loss_sum / total, right / max(judged, 1), rate))
        learning.average.update()  # of what whoever heard of the step has made of the weights: pruned ones stay at zero
    return loss_sum / total, right / max(judged, 1), total / (time.perf_counter() - started)


def _loss_of(objective: Minimised, targets: Any, outputs: Any) -> Tensor:
    return objective.loss(outputs, targets)


def _not_a_number(settings: PhaseSettings, epoch: int, step: int, files: list[str]) -> TrainingError:
    return TrainingError(
        f"The loss is not a number (phase {settings.number}, epoch {epoch}, batch {step}). The batch's files: "
        f"{', '.join(files)}. Lower the learning rate (phases.{settings.number}.lr), or look at these images."
    )


def _advanced(
    before: State | None,
    record: EpochRecord,
    settings: PhaseSettings,
    learned: Mapping[str, Tensor],
    learning: Learning,
) -> State:
    history = (*(before.history if before else ()), record)
    weights = {name: parameter.detach().clone() for name, parameter in learned.items()}
    averaged = {name: tensor.clone() for name, tensor in learning.average.weights.items()}
    if before is None or is_better(record, before.best, history):
        best_weights, best_epoch = averaged, record.epoch
    else:
        best_weights, best_epoch = dict(before.best_weights), before.best_epoch
    finished = _is_finished(record.epoch, best_epoch, settings.epochs, settings.patience)
    states = (learning.optimizer.state_dict(), learning.schedule.state())
    numbers = {} if learning.balance is None else dict(learning.balance.rule.numbers)
    return State(weights, averaged, best_weights, *states, history, best_epoch, finished, balance=numbers)


def _is_finished(done: int, best_epoch: int, epochs: int, patience: int) -> bool:
    return done >= epochs or done - best_epoch >= patience
