"""Networks with numbers that tell them apart, and what "equal" means: shared by the contract tests."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.vit import VisionTransformer

# A small network of every family, padding, activation and kind of block: they stand for the catalogue where it takes long.
REPRESENTATIVES = (
    "efficientnet_lite0",
    "efficientnet_v2_b0",
    "mnasnet_a1",
    "mobile_efficientnet_small",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_small_minimalistic",
    "resnet18",
    "resnet50",
    "small_cnn",
    "tf_efficientnet_b0",
    "vit_tiny_16",
)


def each_row(
    suited: Callable[[ModelSpec], bool] = lambda _: True, quick: Iterable[str] = REPRESENTATIVES
) -> list[object]:
    """Parameters of a test over the catalogue: the names of all rows; the test of one that is not `quick` is slow."""
    names = sorted(name for name, row in ARCHITECTURES.items() if suited(row))
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def shallow(row: ModelSpec) -> ModelSpec:
    """The row with one block a stage, or one transformer block: its own stem, widths and head in a fraction of the time."""
    if isinstance(row, Architecture):
        return replace(row, stages=tuple(replace(stage, repeats=1) for stage in row.stages), depth=1.0)
    assert isinstance(row, VisionTransformer), "a new kind of row: say here how it is made shallow"
    return replace(row, depth=1)


def randomised(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.5)
            if isinstance(module, nn.Linear):
                module.weight.normal_(0, 0.1)
    return network.eval()


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """Equal to within 1e-4 of the expected numbers' standard deviation, which must not be near zero."""
    assert expected.std() >= 0.1
    assert (found - expected).abs().max() <= 1e-4 * expected.std()


def calibrated(network: nn.Module, images: Tensor) -> nn.Module:
    """The network in eval mode with the norm statistics of these images: random ones make the activations of a deep network grow
    from stage to stage, until rounding is all that is left to compare."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.eval()  # no dropout, no stochastic depth
    for norm in norms:
        norm.train()
    with torch.no_grad():
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()
