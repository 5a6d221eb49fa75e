"""Costs counted from the rows (the sums are held to the built networks in tests/contracts/test_architectures.py)."""

import pytest
import torch
from torch import nn

from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.cost import cost, layers, separable_share, total


@pytest.mark.parametrize(
    "name", ["efficientnet_b1", "efficientnet_v2_b0", "mobilenet_v1", "mobilenet_v3_small", "small_cnn"]
)
def test_every_layer_is_the_networks(name: str) -> None:
    """Same names, in the order they run, with the same shapes and parameters, and the outputs' sizes of a real pass."""
    network = build(name).eval()
    seen: dict[str, tuple[int, ...]] = {}
    modules = {path: module for path, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    for path, module in modules.items():
        module.register_forward_hook(lambda _, __, output, path=path: seen.update({path: tuple(output.shape[1:])}))
    with torch.no_grad():
        network(torch.zeros(1, 3, 70, 70))
    found = layers(network.architecture, size=70)
    assert [layer.name for layer in found] == list(seen)
    for layer in found:
        module = modules[layer.name]
        assert seen[layer.name][0] == layer.out_channels
        if isinstance(module, nn.Conv2d):
            assert seen[layer.name][1:] == (layer.size, layer.size)
            assert (module.kernel_size[0], module.stride[0], module.groups) == (
                layer.kernel,
                layer.stride,
                layer.groups,
            )
            assert module.in_channels == layer.in_channels
        assert (module.bias is None) == layer.norm
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert total(found).parameters == parameters


def test_activations_are_what_convolutions_put_out() -> None:
    first, *_ = found = layers(ARCHITECTURES["mobilenet_v2"])
    assert first.activations == 32 * 112 * 112
    assert cost(ARCHITECTURES["mobilenet_v2"]).activations == sum(layer.out_channels * layer.size**2 for layer in found)


def test_macs_grow_with_the_square_of_the_size() -> None:
    row = ARCHITECTURES["mobilenet_v1"]
    small, large = (cost(row, size=size).macs for size in (128, 256))
    assert large == pytest.approx(4 * small, rel=0.01)


def test_a_separable_convolution_costs_what_the_paper_says() -> None:
    """3 x 3 at 256 outputs: 1/256 + 1/9 of the standard one; counted, layer by layer, it is the same share."""
    assert separable_share(3, 256) == pytest.approx(1 / 256 + 1 / 9)
    assert separable_share(1, 256, 7) == pytest.approx(1 / 256 + 1 / 7)
    first, second = (layer for layer in layers(ARCHITECTURES["mobilenet_v1"]) if layer.name.startswith("stages.2.1."))
    standard = 9 * first.in_channels * second.out_channels * second.size**2
    assert (first.macs + second.macs) / standard == pytest.approx(separable_share(3, second.out_channels))
