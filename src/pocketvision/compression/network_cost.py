"""What a network with its heads costs: the backbone's rows as far as the heads read them, and the heads' own layers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pocketvision.models.cost import Cost, layers, total
from pocketvision.models.features import POOLED
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.spec import ModelSpec


def cost_of_rows(rows: ModelSpec, heads: Mapping[str, HeadSpec], *, size: int) -> Cost:
    """Of a network of these rows, for a square input of `size` pixels. Nothing is computed: its tensors have shapes alone."""
    with torch.device("meta"):
        return network_cost(Network(rows, heads), size=size)


def network_cost(network: Network, *, size: int) -> Cost:
    """For a square input of `size` pixels. What no head reads is not counted: it does not run."""
    read = [network.feature(name) for name in network.features_read]
    deepest = max((each.cut for each in read if each.cut is not None), default=0)
    after, pooled = any(each.cut is None for each in read), POOLED in network.features_read
    ran = [
        layer
        for layer in layers(network.architecture, size=size, num_classes=0)
        if (after or layer.stage is None or layer.stage < max(deepest, 1))
        and (not layer.name.startswith("head.") or (after if layer.name.startswith("head.conv") else pooled))
    ]
    backbone, heads = total(ran), _of_heads(network, size)
    return Cost(
        backbone.parameters + heads.parameters, backbone.macs + heads.macs, backbone.activations + heads.activations
    )


@torch.no_grad()
def _of_heads(network: Network, size: int) -> Cost:
    """Convolutions and linear layers, run once."""
    counted = {"macs": 0, "activations": 0}

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        positions = output.numel() // len(module.weight)
        counted["macs"] += module.weight.numel() * positions
        counted["activations"] += output.numel()

    was = network.training
    network.eval()
    weighted = [module for module in network.heads.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(count) for module in weighted]
    try:
        stem = next(network.stem.parameters())
        network.outputs(torch.zeros(1, 3, size, size, device=stem.device, dtype=stem.dtype))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was)
    return Cost(sum(each.numel() for each in network.heads.parameters()), counted["macs"], counted["activations"])
