"""Every row, pruned: channels are really gone, and the rows that are left build the same network without torch-pruning."""

import json
from dataclasses import replace

import pytest
import torch
from networks import assert_equal, each_row, randomised
from torch import nn

from pocketvision.compression import prune_channels as module
from pocketvision.compression.prune_channels import gradients_of, prune_channels
from pocketvision.compression.prune_settings import IMPORTANCES
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.cost import cost
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture
from pocketvision.training.tuning import learning_classes, of_classes

SIZE = 64


def shortened(name: str) -> Architecture:
    """Two blocks a stage stand for the rest, which are the second one over again; no wider than 1, for the large rows' sake."""
    row = ARCHITECTURES[name]
    assert isinstance(row, Architecture)
    stages = tuple(replace(stage, repeats=min(stage.repeats, 2)) for stage in row.stages)
    return replace(row, stages=stages, depth=1.0, width=min(row.width, 1.0))


@pytest.fixture
def unpruned(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(1)
    network = randomised(build(shortened(request.param), num_classes=10))
    assert isinstance(network, Network)
    return network


@pytest.mark.parametrize("unpruned", each_row(lambda row: isinstance(row, Architecture)), indirect=True)
def test_channels_go_and_the_rows_that_are_left_answer_the_same(
    unpruned: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network that torch-pruning cut, and the one that is built from the rows read off it."""
    whole = cost(unpruned.architecture, size=SIZE, num_classes=10)
    before = {key: value.clone() for key, value in unpruned.state_dict().items()}
    cut: list[Network] = []
    rebuild = module._rebuilt
    monkeypatch.setattr(module, "_rebuilt", lambda network, rows: cut.append(network) or rebuild(network, rows))
    found = prune_channels(unpruned, lambda rows: cost(rows, size=SIZE).macs <= 0.7 * whole.macs, size=SIZE)
    assert all(torch.equal(before[key], value) for key, value in unpruned.state_dict().items()), "it is left as it is"

    rows = spec_from_dict(json.loads(json.dumps(found.architecture.to_dict())))
    assert rows == found.architecture
    left = cost(rows, size=SIZE, num_classes=10)
    assert left.macs <= 0.7 * whole.macs and left.parameters < whole.parameters
    assert left.parameters == sum(parameter.numel() for parameter in found.parameters())
    convolutions = [each for each in found.modules() if isinstance(each, nn.Conv2d) and each.kernel_size != (1, 1)]
    assert all(each.out_channels % 8 == 0 for each in convolutions)

    built = build(rows, num_classes=10).eval()
    built.load_state_dict(found.state_dict())
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        expected = cut[0].eval()(images)
        assert torch.equal(built(images), found(images))
        assert_equal(built(images), expected) if expected.std() >= 0.1 else torch.testing.assert_close(
            built(images), expected
        )


@pytest.mark.parametrize("importance", IMPORTANCES)
@pytest.mark.parametrize("unpruned", ["mobilenet_v2"], indirect=True)
def test_each_importance_keeps_other_channels(unpruned: Network, importance: str) -> None:
    whole = cost(unpruned.architecture, size=SIZE)
    gradients = gradients_of(learning_classes(), [(torch.randn(4, 3, SIZE, SIZE), of_classes(torch.arange(4)))])
    kept = []
    for name in ("l1", importance):
        found = prune_channels(
            unpruned,
            lambda rows: cost(rows, size=SIZE).macs <= 0.8 * whole.macs,
            size=SIZE,
            importance=name,
            gradients=gradients if name == "taylor" else None,
        )
        kept.append(found.architecture)
    assert (kept[0] == kept[1]) == (importance == "l1")


@pytest.mark.parametrize("unpruned", ["mobilenet_v3_small"], indirect=True)
def test_the_least_important_channels_go_first(unpruned: Network) -> None:
    """Of a block in which 40 channels' weights are next to nothing, those go and the other 48 stay."""
    block = unpruned.stages[2][0]
    quiet = torch.arange(block.expand.conv.out_channels) % 11 < 5
    with torch.no_grad():
        for part in (block.expand, block.depthwise):
            part.conv.weight[quiet] *= 1e-6
            part.norm.weight[quiet] *= 1e-6
            part.norm.bias[quiet] = 0
            part.norm.running_mean[quiet] = 0
        block.project.conv.weight[:, quiet] *= 1e-6
    whole = cost(unpruned.architecture, size=SIZE)
    found = prune_channels(unpruned, lambda rows: cost(rows, size=SIZE).macs < whole.macs, size=SIZE)
    left = found.stages[2][0].expand.conv.weight.detach()
    assert len(left) < len(quiet), "some are gone"
    assert int((left.abs().amax((1, 2, 3)) > 1e-4).sum()) == int((~quiet).sum()), "and none of the others"


def test_a_head_on_grids_keeps_the_weights_of_the_channels_that_stay() -> None:
    """torch-pruning alone did not come to an end there. A channel's sixteen weights have its number."""
    torch.manual_seed(1)
    network = Network(shortened("mobilenet_v3_small"), {"classification": HeadSpec("grid_linear", 2)}).eval()
    widths = [network.feature(name).channels // 16 for name in network.features_read]
    numbers = torch.cat([(1 + torch.arange(channels)).repeat_interleave(16) for channels in widths])
    network.heads["classification"].linear.weight.data[:] = numbers
    images = [(torch.randn(4, 3, SIZE, SIZE), of_classes(torch.tensor([0, 1, 0, 1])))]
    gradients = gradients_of(learning_classes(), images)
    whole = cost(network.architecture, size=SIZE).macs
    found = prune_channels(
        network,
        lambda rows: cost(rows, size=SIZE).macs < 0.97 * whole,
        size=SIZE,
        importance="taylor",
        gradients=gradients,
    )
    assert {name for name, _ in found.named_children()} == {"stem", "stages", "head", "heads"}
    left = [found.feature(name).channels // 16 for name in found.features_read]
    weight = found.heads["classification"].linear.weight[0]
    assert len(weight) == 16 * sum(left) < 16 * sum(widths)
    for part in weight.split([16 * channels for channels in left]):
        by_channel = part.reshape(-1, 16)
        assert (by_channel == by_channel[:, :1]).all() and (by_channel[:, 0].diff() > 0).all()


@pytest.mark.parametrize("unpruned", ["mobilenet_v2"], indirect=True)
def test_what_can_not_be_pruned_is_reported(unpruned: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UsageError, match=r"So much can not be removed from mobilenet_v2: at the least [\d.]+ M multiply"
    ):
        prune_channels(unpruned, lambda _: False, size=SIZE)
    with pytest.raises(UsageError, match="vit_tiny_16 is not made of convolutional rows"):
        prune_channels(build("vit_tiny_16", num_classes=2), lambda _: True, size=224)
    monkeypatch.setitem(__import__("sys").modules, "torch_pruning", None)
    with pytest.raises(MissingExtraError, match=r"pocketvision\[prune\]"):
        prune_channels(unpruned, lambda _: True, size=SIZE)
