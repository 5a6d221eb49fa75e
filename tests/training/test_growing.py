"""Progressive learning, and what is computed again: by phases on tiny pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.training.growing import Growth
from pocketvision.training.inputs import IMAGES, ImageViews, PlainInputs
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.phase_models import cuts_of, part_of
from pocketvision.training.phases import Entries, TrainedPhases, train_phases
from pocketvision.training.settings import PhaseSettings

SETTINGS = PhaseSettings(1, 8, 1e-2, batch=18, size_from=64, strength_from=0.25)


def trained(network: Network, images: ImageViews, settings: PhaseSettings) -> TrainedPhases:
    return train_phases(
        network,
        {-1: PlainInputs(images, network, 0)},
        entries=Entries(np.arange(36), np.zeros(36, np.int64)),
        validation=Entries(np.arange(36, 48), np.zeros(12, np.int64)),
        phases=[settings],
        from_scratch=True,
        objective=objective_of(images.samples.truth),
        seed=0,
        name_of=str,
        checkpoints=None,
    )


def test_sizes_and_strength_grow_in_four_steps(network: Network, images: ImageViews) -> None:
    part = part_of(network, SETTINGS, from_scratch=True, precision=torch.float32, size=(32, 32))
    growth = Growth.of(SETTINGS, part.model)
    assert [growth.size(epoch, 160) for epoch in range(1, 9)] == [64, 64, 96, 96, 128, 128, 160, 160]
    assert [growth.strength(epoch) for epoch in (1, 3, 5, 7)] == [0.25, 0.5, 0.75, 1.0]
    inputs = PlainInputs(replace(images, preprocessing=images.preprocessing.with_size(96)), network, 0)
    (first,) = growth.inputs(inputs, 1).batches([IMAGES], [[(0, 1), (1, 1)]])
    assert first[IMAGES].shape == (2, 3, 64, 64)
    (dropout, whole), *_ = growth.dropouts
    assert dropout.p == 0.25 * whole > 0
    (last,) = growth.inputs(inputs, 8).batches([IMAGES], [[(0, 1)]])
    assert last[IMAGES].shape == (1, 3, 96, 96) and dropout.p == whole
    growth.inputs(inputs, 1)
    growth.ended()
    assert dropout.p == whole


def test_a_growing_phase_trains_and_a_cached_one_is_refused(network: Network, images: ImageViews) -> None:
    found = trained(network, images, replace(SETTINGS, epochs=2, size=64, size_from=32))
    assert len(found.history) == 2 and np.isfinite(found.history[-1].val_loss)
    with pytest.raises(
        UsageError, match=r"phases\.1\.size, size_from and strength_from are of phases that learn from pictures"
    ):
        cuts_of(network, [replace(SETTINGS, unfreeze=1)], from_scratch=False)


def test_what_is_computed_again_learns_the_same(network: Network, images: ImageViews) -> None:
    """Statistics of norms too, which would remember every batch twice."""
    weights = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        own = type(network)(network.architecture, network.head_specs)
        own.load_state_dict(network.state_dict())
        trained(own, images, PhaseSettings(1, 1, 1e-3, batch=18, checkpointing=checkpointing))
        assert not own.checkpointing
        weights.append(own.state_dict())
    assert all(torch.allclose(weights[0][name].float(), weights[1][name].float(), atol=1e-5) for name in weights[0])


@pytest.mark.slow
def test_a_phase_is_compiled_by_option(network: Network, images: ImageViews, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a back end that compiles nothing: the graph is torch.compile's all the same."""
    seen: list[int] = []

    def compile_nothing(module: nn.Module) -> None:
        def run(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
            seen.append(len(inputs))
            return graph

        module._compiled_call_impl = torch.compile(module._call_impl, backend=run)

    monkeypatch.setattr(nn.Module, "compile", compile_nothing)
    found = trained(network, images, PhaseSettings(1, 1, 1e-3, batch=18, compiled=True))
    assert seen and np.isfinite(found.history[0].val_loss)
