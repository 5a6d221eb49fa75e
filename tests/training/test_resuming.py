"""A phase that goes on from any of its steps ends as the unbroken one does, to the bit; and what ends one tells how to go on."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketvision.errors import TrainingError
from pocketvision.progress import EpochRecord
from pocketvision.training.checkpoint import PhaseCheckpoints, read_checkpoint, write_checkpoint
from pocketvision.training.engine import State, TrainingBatch, fit
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.objective import Validation
from pocketvision.training.settings import (
    CheckpointSettings,
    OptimizerSettings,
    PhaseSettings,
    RegularisationSettings,
    ScheduleSettings,
)

STEPS, BATCH, EPOCHS = 4, 8, 3
SETTINGS = PhaseSettings(
    1,
    EPOCHS,
    1e-2,
    batch=BATCH,
    schedule=ScheduleSettings("plateau", patience=0),
    regularisation=RegularisationSettings(mixup=0.4, ema=0.8),
    checkpoints=CheckpointSettings(seconds=0),
)
INPUTS = torch.randn(STEPS * BATCH, 6, generator=torch.Generator().manual_seed(1))
TARGETS = INPUTS[:, :1] * 2


Outputs = Mapping[str, Mapping[str, Tensor]]


class Network(nn.Module):
    """A norm that learns its statistics, and dropout, which draws."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.layers = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 1))

    def forward(self, inputs: Mapping[str, Tensor]) -> Outputs:
        return {"number": {"values": self.layers(inputs["rows"])}}

    def statistics(self) -> dict[str, Tensor]:
        return {name: buffer for name, buffer in self.named_buffers() if buffer.is_floating_point()}


@dataclass
class Distance:
    """Of the targets, with noise of every library, as a loss of somebody else's may draw it. spoilt: a step whose loss is said to
    be this."""

    spoilt: Callable[[int], float] = lambda _: 1.0
    steps: int = 0

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        self.steps += 1
        noise = random.random() + np.random.rand() + float(torch.rand(()))
        values = outputs["number"]["values"]
        return ((values - targets).square().mean() + 0.01 * noise * values.mean()) * self.spoilt(self.steps)

    def right(self, outputs: Outputs, targets: Tensor) -> tuple[int, int]:
        return int((outputs["number"]["values"] > 0).eq(targets > 0).sum()), len(targets)

    def mixed(self, targets: Tensor, mix: Mix | Mosaic) -> Any:
        assert isinstance(mix, Mix)
        return targets.lerp(targets[mix.order], 1 - mix.share)


def run(
    state: State | None = None,
    *,
    settings: PhaseSettings = SETTINGS,
    objective: Distance | None = None,
    on_state: Callable[[State], None] = lambda _: None,
    steps: int = STEPS,
) -> tuple[State, dict[str, Tensor]]:
    """The last state, and the network's weights and statistics."""
    network = Network()

    def batches(epoch: int, first: int) -> Iterator[TrainingBatch]:
        network.train()
        order = np.random.default_rng([7, epoch]).permutation(len(INPUTS))
        for step in range(first, steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            yield TrainingBatch({"rows": INPUTS[rows]}, TARGETS[rows], rows)

    def validate() -> Validation:
        network.eval()
        with torch.no_grad():
            loss = float((network.layers(INPUTS) - TARGETS).square().mean())
        return Validation(loss, -loss, {})

    ended = fit(
        network,
        settings,
        batches=batches,
        steps=steps,
        objective=objective or Distance(),
        validate=validate,
        seed=5,
        statistics=network.statistics(),
        name_of=lambda row: f"{row}.png",
        state=state,
        on_state=on_state,
    )
    return ended, {name: tensor.clone() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def timeless(history: tuple[EpochRecord, ...]) -> list[EpochRecord]:
    return [replace(each, seconds=0, images_per_second=0, waiting=0, peak_memory=0) for each in history]


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "optimizer",
    [OptimizerSettings("adamw", accumulate=3, sam=0.05), OptimizerSettings("rmsprop")],
    ids=["all", "plain"],
)
def test_from_a_checkpoint_of_any_step_it_ends_as_the_unbroken_run(
    tmp_path: Path, optimizer: OptimizerSettings
) -> None:
    """EMA and MixUp, by turns with SAM and accumulation; a plateau's schedule."""
    settings = replace(SETTINGS, optimizer=optimizer)
    files: list[Path] = []

    def keep(state: State) -> None:
        files.append(tmp_path / f"{len(files)}.safetensors")
        write_checkpoint(files[-1], state)

    drawn = random.getstate(), np.random.get_state()[1].tolist()
    unbroken, weights = run(settings=settings, on_state=keep)
    assert drawn == (random.getstate(), np.random.get_state()[1].tolist())  # the caller's generators are the caller's
    assert len(files) == EPOCHS * (STEPS + 1)
    for file in files:
        random.seed(len(file.name))
        state = read_checkpoint(file)
        ended, found = run(state, settings=settings)
        assert same(found, weights), file.name
        assert same(ended.weights, unbroken.weights) and same(ended.average, unbroken.average)
        assert timeless(ended.history) == timeless(unbroken.history)
        assert ended.schedule == unbroken.schedule and ended.updates == unbroken.updates == EPOCHS * STEPS


def test_a_checkpoint_is_taken_as_often_as_the_settings_say() -> None:
    places: list[tuple[int, int]] = []
    run(
        settings=replace(SETTINGS, checkpoints=CheckpointSettings(seconds=1e9)),
        on_state=lambda state: places.append((len(state.history), state.underway.steps)),
    )
    assert places == [(1, 0), (2, 0), (3, 0)]


def test_an_epoch_tells_how_long_it_waited_and_what_it_held() -> None:
    state, _ = run()
    assert all(0 <= record.waiting <= 1 and record.peak_memory > 50 for record in state.history)


def test_epochs_with_other_batches_begin_anew() -> None:
    kept: list[State] = []
    run(on_state=kept.append)
    (middle,) = (state for state in kept if len(state.history) == 1 and state.underway.steps == 3)
    ended, _ = run(middle, steps=2)
    assert ended.updates == STEPS + 3 + 2 * (EPOCHS - 1)
    with pytest.raises(
        TrainingError, match=r"another network: layers\.0\.weight is of shape \[9, 9\], and of shape \[5, 6\]"
    ):
        run(replace(middle, weights={**middle.weights, "layers.0.weight": torch.zeros(9, 9)}))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_files_and_step_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, value: float
) -> None:
    kept = PhaseCheckpoints(tmp_path, CheckpointSettings())
    objective = Distance(lambda step: value if step == STEPS + 3 else 1.0)
    with pytest.raises(
        TrainingError, match=r"loss is not a number \(phase 1, epoch 2, batch 3\).*: \d+\.png, .*lr=0\.00"
    ):
        run(objective=objective, on_state=kept.write)
    state = kept.read()
    assert state is not None and (len(state.history), state.underway.steps) == (1, 2)
    assert all(bool(tensor.isfinite().all()) for tensor in state.weights.values())
    assert same(run(state)[1], run()[1])


def test_weights_that_are_no_numbers_are_never_kept(tmp_path: Path) -> None:
    kept = PhaseCheckpoints(tmp_path, CheckpointSettings())
    settings = replace(SETTINGS, optimizer=OptimizerSettings("sgd"))
    objective = Distance(lambda step: 1e30 if step == 2 else 1.0)
    with pytest.raises(TrainingError, match=r"weights are not a number \(phase 1, epoch 1, batch 2\)"):
        run(settings=settings, objective=objective, on_state=kept.write)
    state = kept.read()
    assert state is not None and state.underway.steps == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_suggests_half_the_batch(error: Exception) -> None:
    def spoilt(step: int) -> float:
        if step == 2:
            raise error
        return 1.0

    with pytest.raises(TrainingError, match=r"Memory ran out in phase 1, with batches of 8.*--batch 4"):
        run(objective=Distance(spoilt))
    with pytest.raises(ZeroDivisionError):
        run(objective=Distance(lambda step: 1 / (step - 1)))


def test_torch_says_so_when_it_can_not_allocate() -> None:
    with pytest.raises(TrainingError, match=r"Memory ran out.*--batch 4"):
        run(objective=Distance(lambda _: float(torch.empty(1 << 60).sum())))


def test_the_best_epochs_and_the_last_keep_checkpoints(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=6, checkpoints=CheckpointSettings(seconds=1e9, best=2))
    kept = PhaseCheckpoints(tmp_path, settings.checkpoints)
    ended, _ = run(settings=settings, on_state=kept.write)
    ranked = sorted(ended.history, key=lambda record: record.val_loss)
    names = {f"epoch-{record.epoch}.safetensors" for record in ranked[:2]}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "checkpoint.safetensors"}
    best = read_checkpoint(kept.of_epoch(ranked[0].epoch))
    assert same(best.average, ended.best_weights) and len(best.history) == ranked[0].epoch
    (tmp_path / "checkpoint.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=r"can not be read.*Or rename epoch-\d\.safetensors, an earlier one"):
        kept.read()


def test_the_best_weights_are_a_copy_and_not_the_last() -> None:
    kept: list[State] = []
    settings = replace(SETTINGS, epochs=60, patience=2, lr=0.1, schedule=ScheduleSettings("constant"))
    ended, weights = run(settings=settings, on_state=kept.append)
    at_the_best = next(state for state in kept if len(state.history) == ended.best_epoch and not state.underway.steps)
    assert ended.best_epoch < len(ended.history)
    assert same(weights, at_the_best.average) and not same(weights, ended.average)
