"""Two-stage transfer learning: first new heads on frozen features, then the last stages of the backbone as well.

Normalisation statistics stay as they were pre-trained in both stages: batches of a small data set estimate them badly, and
with them fixed every norm folds into its convolution (models/blocks.py). From a random start there is nothing to keep: both
stages train the whole network, statistics too, on the images themselves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.features import CUT
from pocketvision.models.network import Network, fold_norms
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import EpochRecord
from pocketvision.training.checkpoint import read_checkpoint, write_checkpoint
from pocketvision.training.inputs import IMAGES, Inputs, Names, Placements
from pocketvision.training.objective import ByTask, Objective, Validation
from pocketvision.training.stage import OnStep, StageSettings, StageState, TrainingBatch, extended, run_stage

# More makes the allocator map fresh memory for every layer: 195 images a second with 64, 252 with 32.
VALIDATION_BATCH = 32


@dataclass(frozen=True, eq=False)
class Entries:
    """What an epoch trains on: sample indices, (n,), and replicas, (n,): 0, or 1, 2 … for further copies of a sample that
    balancing added, each with augmented views of its own."""

    samples: NDArray[np.int64]
    replicas: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainedStages:
    """How a two-stage training ended; the network holds the weights of `best`, the epoch of lowest validation loss."""

    states: dict[int, StageState]
    best: EpochRecord | None
    interrupted: bool

    @property
    def history(self) -> list[EpochRecord]:
        return [record for state in self.states.values() for record in state.history]


@dataclass(frozen=True, eq=False)
class _Stage:
    settings: StageSettings
    model: "_StageModel"
    names: Names

    @property
    def statistics(self) -> dict[str, Tensor]:
        """The running means and variances of the norms that learn them, by name in the model."""
        return {
            name: buffer
            for name, buffer in self.model.named_buffers()
            if buffer.is_floating_point() and name.startswith(self.model.learning_norms)
        }

    @property
    def learns_statistics(self) -> bool:
        return self.names == [IMAGES] or bool(self.statistics)


def freeze_below(network: Network, cut: int) -> None:
    """Let only stages[cut:], the backbone's head and the tasks' heads learn."""
    network.requires_grad_(False)
    for module in (*network.stages[cut:], network.head, network.heads):
        module.requires_grad_(True)


def cut_for(network: Network, unfreeze: int) -> int:
    """The cut below which everything is frozen when the last `unfreeze` stages learn. UsageError when there are fewer."""
    stages = len(network.stages)
    if not 0 <= unfreeze <= stages:
        raise UsageError(
            f"--unfreeze {unfreeze}: {network.architecture.name} has {stages} stages; expected 0 to {stages}."
        )
    return stages - unfreeze


def view_number(replica: int, epoch: int, views: int | None) -> int:
    """Which view of a sample an epoch (from 1) shows; 0 is the clean view.

    With `views` K, replica r walks through views rK … rK+K-1, the clean view first: it is cached already when stage 2 begins.
    Without, every epoch and replica has a view of its own.
    """
    if views is None:
        return epoch + 1000 * replica
    return replica * views + (epoch - 1) % views


def train_two_stages(
    network: Network,
    inputs: Inputs,
    *,
    entries: Entries,
    validation: Entries,
    cut: int | None,
    stages: Sequence[StageSettings],
    objective: Objective,
    seed: int,
    precision: torch.dtype = torch.float32,
    name_of: Callable[[int], str],
    checkpoints: Path | None,
    on_epoch: Callable[[StageState], None] = lambda _: None,
    on_step: OnStep = lambda _: None,
) -> TrainedStages:
    """Train `network` in place for `objective`, whose tasks are those of its heads, and leave it with its best weights. cut: None
    for a random start, where everything learns.

    With a `checkpoints` folder, a stage whose checkpoint lies there goes on from it, and a checkpoint is written after every
    epoch. Ctrl-C (KeyboardInterrupt) ends the training early: the result says so, and the best weights so far are in place.
    """
    network.to(memory_format=torch.channels_last)
    states: dict[int, StageState] = {}
    best: tuple[EpochRecord, dict[str, Tensor]] | None = None
    interrupted = False
    for stage in _make_stages(network, stages, cut, precision, inputs.images.preprocessing):
        settings, number = stage.settings, stage.settings.number
        path = None if checkpoints is None else checkpoints / f"stage{number}" / "checkpoint.safetensors"

        def note(state: StageState, number: int = number, path: Path | None = path) -> None:
            states[number] = state
            if path is not None:
                write_checkpoint(path, state)
            on_epoch(state)

        if path is not None and path.exists():
            states[number] = extended(read_checkpoint(path), settings.epochs, settings.patience)
        try:
            run_stage(
                stage.model,
                settings,
                batches=lambda epoch, stage=stage: _batches(inputs, stage, entries, objective, epoch, seed),  # type: ignore[misc]
                steps=len(_chunks(len(entries.samples), settings.batch, stage.learns_statistics)),
                validate=lambda stage=stage: _validate(inputs, stage, validation, objective),  # type: ignore[misc]
                objective=objective,
                seed=seed,
                statistics=stage.statistics,
                name_of=name_of,
                state=states.get(number),
                on_epoch=note,
                on_step=on_step,
            )
        except KeyboardInterrupt:
            interrupted = True
        if number in states:
            stage.model.load_trained(states[number].best_weights)
            if best is None or states[number].best.val_loss < best[0].val_loss:
                best = states[number].best, {k: v.clone() for k, v in network.state_dict().items()}
        if interrupted:
            break
    if best is not None:
        network.load_state_dict(best[1])
    network.eval().requires_grad_(False)
    return TrainedStages(states, None if best is None else best[0], interrupted)


class _StageModel(nn.Module):
    """What one stage trains, from inputs by name to what the heads put out, by task and role. Heads alone have a training mode:
    the backbone's norms keep the statistics they came with."""

    learning_norms = "network.heads."
    """What the names of the norms begin with that learn their statistics."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def train(self, mode: bool = True) -> "_StageModel":
        super().train(False)
        self.network.heads.train(mode)
        return self

    def for_validation(self) -> "_StageModel":
        """What is validated: a model of the same function that runs fast without gradients."""
        return self

    def load_trained(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in (*self.named_parameters(), *self.named_buffers()):
                if name in weights:
                    tensor.copy_(weights[name])


class _HeadOnFeatures(_StageModel):
    def forward(self, features: Mapping[str, Tensor]) -> ByTask:
        return self.network.on_features(features)


class _TailOnActivations(_StageModel):
    """size: the images' height and width."""

    def __init__(self, network: Network, cut: int, precision: torch.dtype, size: tuple[int, int]) -> None:
        super().__init__(network)
        self.cut = cut
        self.precision = precision
        self.size = size

    def for_validation(self) -> "_TailOnActivations":
        """As it will be shipped: norms folded, in float32."""
        return _TailOnActivations(fold_norms(self.network), self.cut, torch.float32, self.size)

    def forward(self, kept: Mapping[str, Tensor]) -> ByTask:
        cast = {**kept, CUT: kept[CUT].to(self.precision)}
        features = self.network.above(cast, self.cut, self.network.features_read, size=self.size)
        return self.network.on_features(features)


class _WholeNetwork(_StageModel):
    """Everything learns, and so do the norms' statistics."""

    learning_norms = "network."

    def train(self, mode: bool = True) -> "_WholeNetwork":
        nn.Module.train(self, mode)
        return self

    def for_validation(self) -> "_WholeNetwork":
        """As it will be shipped: norms folded."""
        return _WholeNetwork(fold_norms(self.network))

    def forward(self, inputs: Mapping[str, Tensor]) -> ByTask:
        return self.network.on_features(self.network.features(inputs[IMAGES], self.network.features_read))


def _make_stages(
    network: Network,
    settings: Sequence[StageSettings],
    cut: int | None,
    precision: torch.dtype,
    preprocessing: Preprocessing,
) -> Iterator[_Stage]:
    """The stages, one by one: what is trainable is set as each begins."""
    for stage in settings:
        if cut is None:
            network.requires_grad_(True)
            yield _Stage(stage, _WholeNetwork(network), [IMAGES])
        elif stage.number == 1:
            network.requires_grad_(False)
            network.heads.requires_grad_(True)
            yield _Stage(stage, _HeadOnFeatures(network), network.features_read)
        else:
            freeze_below(network, cut)
            below = [name for name in network.features_read if network.feature(name).is_below(cut)]
            size = (preprocessing.height, preprocessing.width)
            yield _Stage(stage, _TailOnActivations(network, cut, precision, size), [CUT, *below])


def _batches(
    inputs: Inputs, stage: _Stage, entries: Entries, objective: Objective, epoch: int, seed: int
) -> Iterator[TrainingBatch]:
    """One epoch's batches in an order drawn from seed, stage and epoch."""
    order = np.random.default_rng([seed, stage.settings.number, epoch]).permutation(len(entries.samples))
    chosen = [order[rows] for rows in _chunks(len(order), stage.settings.batch, stage.learns_statistics)]
    samples, replicas = entries.samples.tolist(), entries.replicas.tolist()
    rows = [
        [(samples[i], view_number(replicas[i], epoch, inputs.views(stage.names))) for i in indices.tolist()]
        for indices in chosen
    ]
    stage.model.train()
    for indices, shown, features in zip(chosen, rows, inputs.batches(stage.names, rows), strict=True):
        of_batch = entries.samples[indices]
        yield TrainingBatch(features, objective.targets(of_batch, Placements(inputs.images, shown)), of_batch)


def _chunks(count: int, size: int, statistics: bool) -> list[slice]:
    """`count` rows in batches of `size`. Where norms learn their statistics, a single row at the end joins the batch before it:
    it has none of its own."""
    starts = list(range(0, count, size))
    if statistics and len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], count], strict=True)]


@torch.no_grad()
def _validate(inputs: Inputs, stage: _Stage, validation: Entries, objective: Objective) -> Validation:
    """Over the clean views of the validation split."""
    model = stage.model.for_validation().eval()
    starts = range(0, len(validation.samples), VALIDATION_BATCH)
    samples = [validation.samples[start : start + VALIDATION_BATCH] for start in starts]
    rows = [[(sample, 0) for sample in batch.tolist()] for batch in samples]
    return objective.validated(
        [
            objective.records(model(features), objective.targets(batch, Placements(inputs.images, shown)))
            for batch, shown, features in zip(samples, rows, inputs.batches(stage.names, rows), strict=True)
        ]
    )
