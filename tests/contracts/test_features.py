"""Every architecture gives the features that it declares, by name, in one pass from images or from the activations at a cut."""

import pytest
import torch
from networks import each_row, randomised, shallow
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.features import features_of
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture

SIZE = (96, 64)


@pytest.fixture(scope="module", params=each_row())
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(2)
    return randomised(build(shallow(ARCHITECTURES[request.param]), num_classes=4))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_features_have_the_declared_channels_and_strides(network: Network, images: Tensor) -> None:
    declared = features_of(network.architecture)
    found = network.features(images, declared)
    assert list(found) == list(declared)
    for name, feature in declared.items():
        grid = () if feature.stride is None else tuple(-(-side // feature.stride) for side in SIZE)
        assert found[name].shape == (2, feature.channels, *grid), name
        if name.startswith("pool:"):
            assert torch.equal(found[name], found[name.removeprefix("pool:")].mean((2, 3)))
    assert [declared[f"stage{stage}"].channels for stage in range(len(network.stages))] == [*network.channels[1:]]
    assert torch.equal(found["pooled"], network.tail(network.trunk(images, 0), 0))


@torch.no_grad()
def test_a_cut_tells_what_lies_above_it(network: Network, images: Tensor) -> None:
    declared = features_of(network.architecture)
    whole = network.features(images, declared)
    for cut in network.cuts:
        above = [name for name, feature in declared.items() if not feature.is_below(cut)]
        found = network.above({"cut": network.trunk(images, cut)}, cut, above, size=SIZE)
        assert all(torch.equal(found[name], whole[name]) for name in above)
        below = [name for name in declared if name not in above]
        assert (below == []) == (cut == 0)
        if below:
            with pytest.raises(UsageError, match=rf"at cut {cut} do not tell {below[0]}"):
                network.above({"cut": network.trunk(images, cut)}, cut, below, size=SIZE)


@torch.no_grad()
def test_what_is_kept_at_a_cut_tells_all(network: Network, images: Tensor) -> None:
    declared = features_of(network.architecture)
    whole = network.features(images, declared)
    for cut in network.cuts:
        kept = network.below(images, cut, declared)
        assert list(kept) == ["cut", *(name for name, feature in declared.items() if feature.is_below(cut))]
        assert torch.equal(kept["cut"], network.trunk(images, cut))
        found = network.above(kept, cut, declared, size=SIZE)
        assert list(found) == list(whole) and all(torch.equal(found[name], whole[name]) for name in whole)


@torch.no_grad()
def test_the_last_convolution_is_a_feature_where_there_is_one(network: Network, images: Tensor) -> None:
    row, declared = network.architecture, features_of(network.architecture)
    has = isinstance(row, Architecture) and row.head_channels > 0
    assert ("head_conv" in declared) == has
    if has and not row.hidden_channels:
        found = network.features(images, ["pool:head_conv", "pooled"])
        assert torch.equal(found["pool:head_conv"], found["pooled"])


def test_an_unknown_feature_lists_those_that_are_near(network: Network, images: Tensor) -> None:
    with pytest.raises(UsageError, match=r"Unknown feature of .*'stag0'\. Did you mean stage0"):
        network.features(images, ["stag0"])
