"""Unstructured pruning: the smallest weights of all become zero. Dense runtimes do not get faster by that."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from pocketvision.models.network import Network


@dataclass(frozen=True)
class Sparsity:
    """Weights of convolutions and linear layers, and how many of them are not zero."""

    weights: int
    nonzero: int


def prune_weights(network: Network, share: float) -> Network:
    """A copy with that share of its convolutions' and linear layers' weights at zero, the smallest of all by magnitude."""
    sparse = copy.deepcopy(network).eval()
    weights = [module.weight for module in _layers(sparse)]
    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    count = round(share * len(magnitudes))
    if count == 0:
        return sparse
    largest_gone = magnitudes.kthvalue(count).values
    with torch.no_grad():
        for weight in weights:
            weight.masked_fill_(weight.abs() <= largest_gone, 0.0)
    return sparse


def sparsity(network: Network) -> Sparsity:
    """Counted, not computed from a share."""
    weights = [module.weight for module in _layers(network)]
    return Sparsity(sum(each.numel() for each in weights), sum(int((each != 0).sum()) for each in weights))


def zeros_of(network: Network) -> dict[str, torch.Tensor]:
    """Where weights are zero, by parameter name: for keeping them so while the others are tuned."""
    names = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    return {name: parameter == 0 for name, parameter in network.named_parameters() if name in names}


def _layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
