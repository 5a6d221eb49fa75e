"""Heads on grids of maps, while channels go: torch-pruning follows a flattened map number by number, which takes hours."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from pocketvision.models.features import GRID, GRIDDED, POOL
from pocketvision.models.heads.linear import LinearHead
from pocketvision.models.network import Network

_NAME = "grid_layers"


class GridLayers:
    """In place of each linear head that reads grids, while it lives: a layer a feature, on the mean of its map, that holds the
    head's weights with those of a channel in one column. So a channel that goes takes its own with it.

    Nothing is added to a network without such a head.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._heads = {
            task: head
            for task, head in network.heads.items()
            if isinstance(head, LinearHead) and any(name.startswith(GRIDDED) for name in head.names)
        }
        if self._heads:
            layers = {task: nn.ModuleList(_layers(network, head)) for task, head in self._heads.items()}
            network.add_module(_NAME, nn.ModuleDict(layers))

    @property
    def modules(self) -> list[nn.Module]:
        """Whose outputs stay."""
        return [getattr(self._network, _NAME)] if self._heads else []

    @property
    def features(self) -> list[str]:
        """That they and the other heads read."""
        gridded = {name for head in self._heads.values() for name in head.names}
        others = [name for name in self._network.features_read if name not in gridded]
        return [*others, *dict.fromkeys(map(_pooled, gridded))]

    def outputs(self, found: Mapping[str, Tensor]) -> list[Tensor]:
        """Of all heads, these layers in place of those that they stand for."""
        plain = [
            value
            for task, head in self._network.heads.items()
            if task not in self._heads
            for value in head(found).values()
        ]
        return plain + [layer(found[_pooled(name)]) for _, name, layer in self._each()]

    def take_gradients(self) -> None:
        """Those of the heads, which the loss went through."""
        for task, name, layer in self._each():
            gradient = self._heads[task].linear.weight.grad
            if gradient is not None:
                place = self._heads[task].names.index(name)
                layer.weight.grad = _by_channel(torch.split(gradient, self._widths(task), dim=1)[place], _cells(name))

    def give_back(self) -> None:
        """To the heads what is left of their weights."""
        for task, head in self._heads.items():
            columns = [_side_by_side(layer.weight, _cells(name)) for own, name, layer in self._each() if own == task]
            head.linear.weight = nn.Parameter(torch.cat(columns, dim=1).detach())
            head.linear.in_features = head.linear.weight.shape[1]

    def remove(self) -> None:
        """Leave the network as it was."""
        if self._heads:
            delattr(self._network, _NAME)

    def _widths(self, task: str) -> list[int]:
        return [layer.in_features * _cells(name) for own, name, layer in self._each() if own == task]

    def _each(self) -> Iterator[tuple[str, str, nn.Linear]]:
        """Task, feature and layer."""
        for task, head in self._heads.items():
            for name, layer in zip(head.names, getattr(self._network, _NAME)[task], strict=True):
                yield task, name, layer


def _layers(network: Network, head: LinearHead) -> Iterator[nn.Linear]:
    widths = [network.feature(name).channels for name in head.names]
    for name, columns in zip(head.names, torch.split(head.linear.weight.detach(), widths, dim=1), strict=True):
        weight = _by_channel(columns, _cells(name))
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight = nn.Parameter(weight)
        yield layer


def _pooled(name: str) -> str:
    """The feature with one number a channel, of the same map."""
    return POOL + name.removeprefix(GRIDDED) if name.startswith(GRIDDED) else name


def _cells(name: str) -> int:
    """Numbers a channel."""
    return GRID * GRID if name.startswith(GRIDDED) else 1


def _by_channel(columns: Tensor, cells: int) -> Tensor:
    """(outputs, channels * cells) to (outputs * cells, channels)."""
    outputs = len(columns)
    return columns.reshape(outputs, -1, cells).transpose(1, 2).reshape(outputs * cells, -1).contiguous()


def _side_by_side(weight: Tensor, cells: int) -> Tensor:
    """The way back."""
    outputs = len(weight) // cells
    return weight.reshape(outputs, cells, -1).transpose(1, 2).reshape(outputs, -1)
