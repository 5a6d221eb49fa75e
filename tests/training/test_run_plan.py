"""Measuring leaves a run's numbers alone, and a plan is kept to by what the run says of itself."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketvision.models.network import Network
from pocketvision.progress import EpochEnded, EpochRecord
from pocketvision.training.deadline import Deadline
from pocketvision.training.inputs import CachedInputs, ImageViews
from pocketvision.training.measuring import seconds_of_solving, seconds_of_step, seconds_of_view
from pocketvision.training.pace import Pace
from pocketvision.training.phases import Entries
from pocketvision.training.planning import Plan, Speeds, Work
from pocketvision.training.recipe import CacheSettings, Recipe
from pocketvision.training.run_plan import RunPlan, said, values_of_plan
from pocketvision.training.setting_values import changed
from pocketvision.training.settings import PhaseSettings
from pocketvision.training.trunk_cache import TrunkCache
from pocketvision.training.trunk_runtime import compile_trunk, trunk_layouts

PHASES = [PhaseSettings(1, 4, 1e-2, batch=8), PhaseSettings(2, 5, 2e-3, unfreeze=2, batch=8)]
WORK = Work(pictures=36, validation=12, batch=8, ending=24)
SPEEDS = Speeds(
    1.0, 0.001, 0.0, 1.0, {0: 0.001, 2: 0.19}, {0: 0.0, 2: 0.0}, 3.0, 0.0
)  # an epoch of phase 2: 5 * 0.19 s
PLAN = Plan(3, 2, 20, {"all": 55.0})


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trunk")


@pytest.fixture
def inputs(network: Network, images: ImageViews, tmp_path: Path, compiled: Path) -> CachedInputs:
    """Three views of an image, nothing cached yet."""
    names = network.features_read
    trunk, tail = (
        TrunkCache(tmp_path, fingerprint="tiny", layouts=layouts)
        for layouts in trunk_layouts(network, 1, names, height=32, width=32)
    )
    runtime = compile_trunk(network, 1, names, height=32, width=32, folder=compiled, threads=1)
    return CachedInputs(images, trunk, tail, runtime, views=3)


@pytest.mark.parametrize("number", [0, 1])
def test_measuring_changes_neither_weights_nor_random_states(network: Network, number: int) -> None:
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    trainable = [parameter.requires_grad for parameter in network.parameters()]
    step, validated = seconds_of_step(
        network, PHASES[number], from_scratch=False, precision=torch.float32, size=(32, 32), validation=40
    )
    assert step > 0 and validated > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert trainable == [parameter.requires_grad for parameter in network.parameters()]


def test_views_that_were_measured_are_kept(network: Network, inputs: CachedInputs) -> None:
    rows = [(sample, view) for sample in range(12) for view in range(3)]
    assert seconds_of_view(inputs, ["cut", *network.features_read], rows) > 0
    assert inputs.missing(["cut", "pooled"], rows) == [] and len(inputs.missing(["cut"], [(12, 0)])) == 1
    assert seconds_of_view(inputs, ["cut"], rows) == 0  # nothing is left to do


def test_solving_takes_longer_with_more_rows(network: Network) -> None:
    assert seconds_of_solving(network, 10_000) > seconds_of_solving(network, 100) > 0


def keeper(deadline: Deadline, found: list[Mapping[str, Any]], inputs: Any = None, alone: bool = False) -> RunPlan:
    last = replace(PHASES[1], epochs=20)
    return RunPlan(
        deadline,
        SPEEDS,
        WORK,
        last,
        inputs,
        Entries(np.arange(36), np.zeros(36, np.int64)),
        Pace(),
        ["cut"],
        found.append,
        lambda _: None,
        alone,
    )


class At(Deadline):
    """A deadline of a minute, of which a given number of seconds is gone."""

    seconds_gone: float = 0.0

    @property
    def used(self) -> float:
        return self.seconds_gone


def at(seconds: float) -> Deadline:
    deadline = At(1)
    object.__setattr__(deadline, "seconds_gone", seconds)
    return deadline


def record(epoch: int, seconds: float) -> EpochRecord:
    return EpochRecord(2, epoch, 0.5, 0.5, 0.5, 0.5, 1e-3, seconds, 100.0)


def test_a_plan_is_kept_changed_and_recorded_and_other_phases_are_left_alone() -> None:
    found: list[Mapping[str, Any]] = []
    settings = replace(PHASES[1], epochs=20)
    assert keeper(at(10), found).replan(PHASES[0], ()) == PHASES[0].epochs
    # 20 epochs of 0.95 s and 3 s at the end: from 33 s on they end at 55 s of 60.
    assert keeper(at(33), found).replan(settings, ()) == 20 and not found
    assert keeper(at(43), found).replan(settings, ()) == 10
    assert found.pop() == {"phases.2.epochs": 10}
    plan = keeper(at(43), found)
    plan.pace(EpochEnded(record(5, 1.9), 20, best=True))
    # Twice as slow: 60 - 43 - 4.2 - 2 * 3 s at the end leave 4 epochs of 1.9 s; it was planned anew once before.
    again = plan.replan(replace(settings, replanned=(2.0, 30.0)), [record(epoch, 1.9) for epoch in range(1, 6)])
    assert again == 9 and found == [{"phases.2.epochs": 9, "phases.2.replanned": (2.0, 30.0, 5.0, 20.0)}]


def test_without_time_a_phase_is_left_out_unless_it_is_the_only_one() -> None:
    settings = replace(PHASES[1], epochs=20)
    assert keeper(at(58), []).replan(settings, ()) == 0
    assert keeper(at(58), [], alone=True).replan(settings, ()) == 1


def test_views_to_be_computed_count(inputs: CachedInputs) -> None:
    found: list[Mapping[str, Any]] = []
    slow = replace(keeper(at(33), found, inputs), speeds=replace(SPEEDS, view=0.1))
    # Three views of 36 pictures, 10.8 s: 11 epochs fewer.
    assert slow.replan(replace(PHASES[1], epochs=20), ()) == 9
    inputs.fill(["cut"], [(sample, view) for sample in range(36) for view in range(3)])
    assert slow.replan(replace(PHASES[1], epochs=20), ()) == 20


def test_what_is_planned_is_written_as_ordinary_settings() -> None:
    recipe = Recipe().resolved(100, closed_form=True)
    planned = changed(recipe, values_of_plan(PLAN, recipe))
    last = planned.phases[1]
    assert (last.epochs, last.unfreeze, planned.cache.views, last.replanned) == (20, 2, 3, None)
    assert last.patience >= 60 and planned.schedule.name not in ("plateau",)
    plain = Recipe(cache=CacheSettings(enabled=False)).resolved(100, closed_form=True)
    assert "cache.views" not in values_of_plan(PLAN, plain)
    assert said(PLAN, Deadline(1), recipe.phase_settings()[-1]).endswith("20 epochs; about 0.9 minutes in all.")
    assert said(PLAN, Deadline(5), recipe.phase_settings()[-1]).endswith("would hardly help.")
