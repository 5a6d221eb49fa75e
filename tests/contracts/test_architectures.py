"""What every row of the architecture catalogue promises."""

import copy
import json
import re
from collections.abc import Iterable

import pytest
import torch
from golden import GOLDEN, golden_outputs, seeded
from networks import REPRESENTATIVES, assert_equal, calibrated, each_row, randomised
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.network import Network, fold_norms
from pocketvision.models.spec import Architecture, ModelSpec

# Odd, with an odd number of activations at every stride; a transformer has none that work.
ODD = (70, 97)


def uneven(row: ModelSpec) -> tuple[int, int]:
    """Height and width in pixels that differ, odd ones where the row takes them."""
    return ODD if isinstance(row, Architecture) else (48, 80)


def side(row: ModelSpec) -> int:
    """A side in pixels that leaves 2 x 2 or more before pooling, small for the large rows' sake."""
    return max(48, 2 * row.trunk_strides()[-1])


def calibration_images(network: Network) -> Tensor:
    """The images whose statistics the norms have: on others the deepest random networks' activations still grow without bound."""
    pixels = side(network.architecture)
    return torch.randn(8, 3, pixels, pixels, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module", params=each_row())
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(1)
    network = randomised(build(request.param, num_classes=10))
    return calibrated(network, calibration_images(network))


def test_the_rows_rebuild_the_network(network: Network) -> None:
    rows = spec_from_dict(json.loads(json.dumps(network.architecture.to_dict())))
    assert rows == network.architecture
    rebuilt = build(rows, num_classes=10).eval()
    rebuilt.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, side(rows), side(rows))
    with torch.no_grad():
        assert torch.equal(rebuilt(images), network(images))


def test_trunk_and_tail_make_the_network_at_every_cut(network: Network) -> None:
    height, width = uneven(network.architecture)
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        expected = network(images)
        for cut in network.cuts:
            activations = network.trunk(images, cut)
            rows, columns = (-(-pixels // network.strides[cut]) for pixels in (height, width))
            if activations.ndim == 3:  # tokens, the class token before them
                assert activations.shape == (2, 1 + rows * columns, network.channels[cut])
            else:
                assert activations.shape == (2, network.channels[cut], rows, columns)
            features = network.tail(activations, cut)
            assert features.shape == (2, network.feature_channels)
            assert torch.equal(network.on_features({"pooled": features})["classification"]["logits"], expected)
    assert len(network.cuts) == len(network.channels) == len(network.strides) == len(network.stages) + 1


@pytest.mark.parametrize("name", each_row())
def test_gradient_reaches_every_parameter(name: str) -> None:
    """As a training from scratch begins, and as a fine-tuning does: with norms in training and in eval mode."""
    torch.manual_seed(1)
    network = build(name, num_classes=10)
    pixels = side(network.architecture)
    calibrated(network, torch.randn(8, 3, pixels, pixels))
    for training in (False, True):
        network.zero_grad()
        loss = nn.functional.cross_entropy(network.train(training)(torch.randn(4, 3, pixels, pixels)), torch.arange(4))
        loss.backward()
        assert loss.isfinite()
        assert [key for key, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0] == []


def test_checkpointing_gives_the_same_gradients(network: Network) -> None:
    pixels = side(network.architecture)
    images, gradients = torch.randn(2, 3, pixels, pixels), []
    for checkpointing in (False, True):
        network.zero_grad()
        network.checkpointing = checkpointing
        network(images).square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    network.checkpointing = False
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_pyramids_come_out_at_the_declared_strides(network: Network) -> None:
    with torch.no_grad():
        height, width = uneven(network.architecture)
        levels = network.pyramid(torch.randn(1, 3, height, width))
    assert list(levels) == sorted(set(network.strides))
    for stride, level in levels.items():
        deepest = max(cut for cut in network.cuts if network.strides[cut] == stride)
        assert level.shape == (1, network.channels[deepest], -(-height // stride), -(-width // stride))


def test_odd_sizes_work_or_are_refused_with_sizes_that_work(network: Network) -> None:
    height, width = ODD
    images = torch.randn(1, 3, height, width)
    try:
        network.architecture.check_size(height, width)
    except UsageError as refused:
        with torch.no_grad(), pytest.raises(UsageError, match=re.escape(str(refused))):
            network(images)
        sizes = [int(number) for number in re.findall(r"\d+", str(refused).partition("work: ")[2])]
        assert sizes
        for size in sizes:
            assert network(torch.randn(1, 3, size, size)).isfinite().all()
    else:
        assert network(images).isfinite().all()


def test_channels_last_gives_the_same_numbers(network: Network) -> None:
    """In double precision: a deep random network amplifies the rounding of float32 beyond any tolerance."""
    double = copy.deepcopy(network).double()
    images = calibration_images(network)[:2].double()
    with torch.no_grad():
        expected = double(images)
        found = double.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    assert_equal(found, expected)


def test_folded_norms_give_the_same_numbers(network: Network) -> None:
    """In double precision, as above."""
    double = copy.deepcopy(network).double()
    folded = fold_norms(double)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    # A transformer has layer norms, which depend on the image and can not be folded.
    assert any(isinstance(module, nn.BatchNorm2d | nn.LayerNorm) for module in network.modules())
    images = calibration_images(network)[:2].double()
    with torch.no_grad():
        expected = folded(images)
        assert_equal(double(images), expected)
    # With gradients recorded, norms are folded on the fly.
    assert_equal(double(images).detach(), expected)


def test_every_kind_of_network_has_a_representative() -> None:
    def kinds(names: Iterable[str]) -> set[tuple[object, ...]]:
        rows = [ARCHITECTURES[name] for name in names]
        found = {(type(row), row.family) for row in rows}
        for row in rows:
            if isinstance(row, Architecture):
                found |= {(field, getattr(row, field)) for field in ("padding", "activation", "norm_epsilon")}
                found |= {("block", stage.block, stage.squeeze_ratio > 0) for stage in row.stages}
        return found

    assert kinds(REPRESENTATIVES) == kinds(ARCHITECTURES)


def test_golden_outputs(golden_network: Network) -> None:
    """Seeded weights and images still give the numbers that were accepted (`make golden` accepts new ones)."""
    name = golden_network.architecture.name
    stored = json.loads(GOLDEN.read_text())
    assert set(stored) == set(ARCHITECTURES), "run `make golden`"
    assert_equal(torch.tensor(golden_outputs(golden_network)), torch.tensor(stored[name]))


@pytest.fixture(scope="module", params=each_row())
def golden_network(request: pytest.FixtureRequest) -> Network:
    return seeded(request.param)
