"""Training in phases: first new heads on frozen features, then the last stages of the backbone as well, or any other."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.models.network import Network
from pocketvision.progress import EpochRecord
from pocketvision.training.batch_order import drawn_order, mixed_order
from pocketvision.training.best_epoch import is_better
from pocketvision.training.checkpoint import PhaseCheckpoints
from pocketvision.training.device import device_of
from pocketvision.training.distillation import TaughtTargets
from pocketvision.training.engine import OnStep, Replan, State, TrainingBatch, as_planned, extended, fit
from pocketvision.training.growing import Growth
from pocketvision.training.inputs import Inputs, Placements, Row
from pocketvision.training.objective import Objective, Validation
from pocketvision.training.phase_models import Part, cuts_of, part_of
from pocketvision.training.precision import multiplied_as
from pocketvision.training.processes import ALONE, Processes
from pocketvision.training.settings import PhaseSettings
from pocketvision.training.shared_inputs import fill_shared, shared_batches
from pocketvision.training.shared_model import shared
from pocketvision.training.solving import MOST_ROWS, read_features, solve_heads
from pocketvision.training.teachers import Teaching

# More makes the allocator map fresh memory for every layer: 195 images a second with 64, 252 with 32.
VALIDATION_BATCH = 32


Best = tuple[EpochRecord, dict[str, Tensor]]
"""An epoch, and the state of its network."""


@dataclass(frozen=True, eq=False)
class Entries:
    """What an epoch trains on: sample indices, (n,), and replicas, (n,): 0, or 1, 2 … for further copies of a sample that
    balancing added, each with augmented views of its own. weights: (n,) how likely each is to be drawn, in sum 1, with
    replacement; None takes each once."""

    samples: NDArray[np.int64]
    replicas: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class TrainedPhases:
    """How a training ended, by the phases' numbers. networks: what learned in each. `network`, that of `best`, the best epoch
    (best_epoch.py), holds its weights; `fed`: what ran it there, and its inputs."""

    states: dict[int, State]
    networks: Mapping[int, Network]
    best: EpochRecord | None
    interrupted: bool
    fed: tuple[Part, Inputs] | None = None

    @property
    def network(self) -> Network:
        """What won. Raises ValueError before the first epoch."""
        if self.best is None:
            raise ValueError("nothing has learned")
        return self.networks[self.best.stage]

    @property
    def history(self) -> list[EpochRecord]:
        return [record for state in self.states.values() for record in state.history]


def view_number(replica: int, epoch: int, views: int | None) -> int:
    """Which view of a sample an epoch (from 1) shows; 0 is the clean view.

    With `views` K, replica r walks through views rK … rK+K-1, the clean view first: it is cached already when a second phase
    begins. Without, every epoch and replica has a view of its own.
    """
    if views is None:
        return epoch + 1000 * replica
    return replica * views + (epoch - 1) % views


def train_phases(
    network: Network,
    inputs: Mapping[int, Inputs],
    *,
    entries: Entries,
    validation: Entries,
    phases: Sequence[PhaseSettings],
    objective: Objective,
    seed: int,
    from_scratch: bool = False,
    others: Mapping[int, Network] | None = None,
    precision: torch.dtype = torch.float32,
    name_of: Callable[[int], str],
    checkpoints: Path | None,
    on_epoch: Callable[[State], None] = lambda _: None,
    on_step: OnStep = lambda _: None,
    replan: Replan = as_planned,
    teaching: Teaching | None = None,
    processes: Processes = ALONE,
) -> TrainedPhases:
    """Train `network` in place for `objective`, whose tasks are those of its heads, and leave it with its best weights.

    inputs: by the cuts of phase_models.cuts_of. from_scratch: everything learns in every phase. others: by phase, networks that
    learn there in its place, all of each; the best network gets its best weights then.
    replan: asked before a phase of gradients that begins, and after each of its epochs; a phase of 0 epochs is left out.
    With a `checkpoints` folder, a phase whose checkpoint lies there goes on from it, and checkpoints are written (checkpoint.py).
    on_epoch: told of each state at an epoch's end. Ctrl-C (KeyboardInterrupt) ends the training early: the result says so, and
    the best weights so far are in place. teaching: what phases of gradients learn from besides the truth.
    processes: that train together, all of which call this alike. The first one's checkpoints, plans and figures are everybody's;
    an interruption is raised in them, for they go on from the last checkpoint.
    """
    replan = partial(_planned_by_first, processes, replan)
    learn = partial(_learn, entries, validation, objective, seed, name_of, on_step, replan, teaching, processes)
    networks = {each.number: (others or {}).get(each.number, network) for each in phases}
    states, parts = dict[int, State](), dict[int, tuple[Part, Inputs]]()
    best: Best | None = None
    interrupted = False
    for settings, cut in zip(phases, cuts_of(network, phases, from_scratch=from_scratch), strict=True):
        fed, number = inputs[cut], settings.number
        own = networks[number].to(memory_format=_memory_format(settings))
        kept = None if checkpoints is None else PhaseCheckpoints(checkpoints / f"stage{number}", settings.checkpoints)
        before = None if kept is None else processes.from_first(kept.read)
        if before is None and settings.solver == "gradient":
            settings = replace(settings, epochs=replan(settings, ()))
        if settings.epochs == 0:
            continue
        size = (fed.images.preprocessing.height, fed.images.preprocessing.width)
        part = part_of(own, settings, from_scratch=from_scratch or own is not network, precision=precision, size=size)
        parts[number] = part, fed
        if before is not None:
            before = states[number] = extended(before, settings)
            read_features(own, states[number].features)
        note = partial(_keep, states, number, kept if processes.is_first else None, on_epoch)
        interrupted = _interrupted(partial(learn, part, fed, before, note), processes)
        if number in states and states[number].history:
            part.model.load_trained(states[number].best_weights)
            best = _better(best, states, number, own)
        if interrupted:
            break
    return _ended(states, networks, parts, best, interrupted)


def _interrupted(learn: Callable[[], None], processes: Processes) -> bool:
    """Whether Ctrl-C ended it; raised where several train together."""
    try:
        learn()
    except KeyboardInterrupt:
        if processes.count > 1:
            raise
        return True
    return False


def _planned_by_first(
    processes: Processes, replan: Replan, settings: PhaseSettings, history: Sequence[EpochRecord]
) -> int:
    """Plans look at the clock, which is no two processes' alike."""
    return processes.from_first(lambda: replan(settings, history))


def _ended(
    states: dict[int, State],
    networks: dict[int, Network],
    parts: dict[int, tuple[Part, Inputs]],
    best: Best | None,
    interrupted: bool,
) -> TrainedPhases:
    """The networks learn no more, and the best has its best weights."""
    if best is not None:
        networks[best[0].stage].load_state_dict(best[1])
    for each in networks.values():
        each.eval().requires_grad_(False)
        each.checkpointing = False
    done = {number: state for number, state in states.items() if state.history}
    if best is None:
        return TrainedPhases(done, networks, None, interrupted)
    return TrainedPhases(done, networks, best[0], interrupted, parts[best[0].stage])


def _better(best: Best | None, states: Mapping[int, State], number: int, network: Network) -> Best:
    """The best so far, or that of a phase that ended."""
    history = [record for state in states.values() for record in state.history]
    if best is None or is_better(states[number].best, best[0], history):
        return states[number].best, {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return best


def _learn(
    entries: Entries,
    validation: Entries,
    objective: Objective,
    seed: int,
    name_of: Callable[[int], str],
    on_step: OnStep,
    replan: Replan,
    teaching: Teaching | None,
    processes: Processes,
    part: Part,
    inputs: Inputs,
    state: State | None,
    on_state: Callable[[State], None],
) -> None:
    """A phase, from its beginning or from where `state` left it."""
    if part.settings.solver != "gradient":
        if state is None:
            on_state(_solved(part, inputs, entries, validation, objective, processes))
        return
    growth = Growth.of(part.settings, part.model)
    if part.settings.compiled:
        part.model.compile()
    with _placed(part.model, device_of(part.settings.device)), shared(part.model, processes) as model:
        fit(
            model,
            part.settings,
            batches=partial(batches_of, inputs, part, growth, entries, objective, seed, teaching, processes),
            steps=len(_chunks(len(entries.samples), part.settings.batch, part.learns_statistics)),
            objective=objective if teaching is None else teaching.taught,
            validate=partial(_validate, inputs, part, validation, objective, processes),
            seed=seed,
            statistics=part.model.statistics(),
            name_of=name_of,
            depth_of=part.depth_of,
            balance=objective.balance,
            state=state,
            on_state=on_state,
            on_step=on_step,
            replan=replan,
        )
    growth.ended()


@contextmanager
def _placed(model: nn.Module, device: str) -> Iterator[None]:
    """Within the block the model lies on the device, afterwards on the CPU."""
    model.to(device)
    try:
        yield
    finally:
        model.to("cpu")


def _memory_format(settings: PhaseSettings) -> torch.memory_format:
    return torch.channels_last if settings.channels_last else torch.contiguous_format


def _solved(
    part: Part, inputs: Inputs, entries: Entries, validation: Entries, objective: Objective, processes: Processes
) -> State:
    """Views are computed by all processes, and the first one solves."""
    told = objective.patterns[entries.samples] > 0  # pictures without labels say nothing here
    entries = Entries(entries.samples[told], entries.replicas[told])
    rows = _rows_to_solve(part, inputs, entries)
    names = part.model.network.features_read
    fill_shared(inputs, names, [*rows, *((sample, 0) for sample in validation.samples.tolist())], processes)
    state = processes.from_first(lambda: _solve(part, inputs, rows, validation, objective))
    read_features(part.model.network, state.features)
    return state


def _rows_to_solve(part: Part, inputs: Inputs, entries: Entries) -> list[Row]:
    views = max(
        1, min(part.settings.views, inputs.most_views or part.settings.views, MOST_ROWS // len(entries.samples))
    )
    return [
        (sample, view_number(replica, view, views))
        for view in range(1, views + 1)
        for sample, replica in zip(entries.samples.tolist(), entries.replicas.tolist(), strict=True)
    ]


@multiplied_as("float32")
def _solve(part: Part, inputs: Inputs, rows: Sequence[Row], validation: Entries, objective: Objective) -> State:
    """The heads of a phase in closed form: one entry of history, whose training figures are those of rows left out."""
    started = time.perf_counter()
    network, number = part.model.network, part.settings.number
    solved = solve_heads(network, inputs, rows, objective)
    seconds = time.perf_counter() - started
    names = network.features_read
    validated = _validate(inputs, replace(part, names=names), validation, objective, ALONE)
    record = EpochRecord(
        stage=number,
        epoch=1,
        train_loss=solved.loss,
        train_accuracy=solved.figure,
        val_loss=validated.loss,
        val_accuracy=validated.figure,
        lr=0.0,
        seconds=time.perf_counter() - started,
        images_per_second=len(rows) / seconds,
        tasks=validated.columns,
    )
    weights = {name: each.detach().clone() for name, each in part.model.named_parameters() if "network.heads." in name}
    empty: dict[str, object] = {"state": {}, "param_groups": []}
    return State(weights, weights, weights, empty, {}, (record,), 1, True, solved.features)


def _keep(
    states: dict[int, State],
    number: int,
    kept: PhaseCheckpoints | None,
    on_epoch: Callable[[State], None],
    state: State,
) -> None:
    """A new state, in memory and as a checkpoint."""
    states[number] = state
    if kept is not None:
        kept.write(state)
    if not state.underway.steps:
        on_epoch(state)


def batches_of(
    inputs: Inputs,
    part: Part,
    growth: Growth,
    entries: Entries,
    objective: Objective,
    seed: int,
    teaching: Teaching | None,
    processes: Processes,
    epoch: int,
    first: int,
) -> Iterator[TrainingBatch]:
    """One epoch's batches in an order drawn from seed, phase and epoch, without the first `first`."""
    settings, inputs = part.settings, growth.inputs(inputs, epoch)
    random = np.random.default_rng([seed, settings.number, epoch])
    if entries.weights is None:
        order = mixed_order(objective.patterns[entries.samples], random)
        times = np.zeros_like(order)
    else:
        order, times = drawn_order(entries.weights, random)  # who comes twice is in another view
    chunks = _chunks(len(order), settings.batch, part.learns_statistics)[first:]
    chosen, views = [order[rows] for rows in chunks], inputs.views(part.names)
    samples, replicas = entries.samples.tolist(), entries.replicas.tolist()
    rows = [
        [
            (samples[i], view_number(replicas[i], epoch + time, views))
            for i, time in zip(order[own].tolist(), times[own].tolist(), strict=True)
        ]
        for own in chunks
    ]
    part.model.train()
    whole = settings.regularisation.mixes or settings.optimizer.accumulate > 1
    fed = shared_batches(inputs, part.names, rows, processes, whole=whole)
    taught = repeat(None, len(rows)) if teaching is None else teaching.batches(rows)
    for indices, shown, said, features in zip(chosen, rows, taught, fed, strict=True):
        of_batch = entries.samples[indices]
        targets = objective.targets(of_batch, Placements(inputs.images, shown))
        yield TrainingBatch(features, targets if teaching is None else TaughtTargets(targets, said), of_batch)


def _chunks(count: int, size: int, statistics: bool) -> list[slice]:
    """`count` rows in batches of `size`. Where norms learn their statistics, a single row at the end joins the batch before it:
    it has none of its own."""
    starts = list(range(0, count, size))
    if statistics and len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], count], strict=True)]


@torch.no_grad()
@multiplied_as("float32")
def _validate(
    inputs: Inputs, part: Part, validation: Entries, objective: Objective, processes: Processes
) -> Validation:
    """Over the clean views of the validation split, every process a part of the batches."""
    model = part.model.for_validation().eval()
    starts = range(0, len(validation.samples), VALIDATION_BATCH)
    samples = [validation.samples[start : start + VALIDATION_BATCH] for start in starts]
    rows = [[(sample, 0) for sample in batch.tolist()] for batch in samples]
    fill_shared(inputs, part.names, [row for batch in rows for row in batch], processes)
    own = processes.share(len(rows))
    samples, rows = samples[own.begin : own.end], rows[own.begin : own.end]
    records = [
        objective.records(model(features), objective.targets(batch, Placements(inputs.images, shown)))
        for batch, shown, features in zip(samples, rows, inputs.batches(part.names, rows), strict=True)
    ]
    gathered = [each for part_of_them in processes.gathered(records) for each in part_of_them]
    return processes.from_first(lambda: objective.validated(gathered))
