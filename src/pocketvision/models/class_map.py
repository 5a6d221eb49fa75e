"""Where a class is seen, in the graph that ships: of a head that is linear on pooled features, Grad-CAM is a matrix product.

A logit is a sum over features, and the mean and the maximum of one map A (channels, h, w) add to it

    sum over c of  mean[c] * mean(A[c]) + maximum[c] * max(A[c]).

Grad-CAM (Selvaraju et al., 2017, section 3) weighs each channel by the mean of the logit's gradient over the map's h * w pixels:
(mean[c] + maximum[c]) / (h * w). So the map of a class is these weights times A: the class activation mapping of Zhou et al.
(2016) with the maxima in it. What the head reads of other maps is left out, and named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pocketvision.bundle import MapManifest
from pocketvision.errors import UsageError
from pocketvision.models.convolutional import Head as ConvolutionalHead
from pocketvision.models.features import HEAD_CONV, MAX, POOL, POOLED
from pocketvision.models.heads.linear import LinearHead
from pocketvision.models.network import Decoded, Network

MOST_CLASSES = 32
"""Of more classes than these only the FIRST most probable have maps: 1000 maps of 1280 channels would cost EfficientNet-Lite0 an
eighth more."""
FIRST = 5

OUTPUT = "map"


@dataclass(frozen=True)
class ClassMap:
    """How a task's maps come about. feature: the map that is shown, by its name. columns: where the mean and the maximum of its
    channels stand among what the head reads, (first, last) each. leaves_out: the other features that the head reads."""

    feature: str
    columns: tuple[tuple[int, int], ...]
    leaves_out: tuple[str, ...]


def class_map_of(network: Network, task: str) -> ClassMap:
    """The map of the deepest activations that the task's head is linear in. Raises UsageError that says why there is none."""
    head = network.heads[task]
    other = "`pocketvision explain` shows maps of it in PyTorch, and by occlusion on any file."
    if not isinstance(head, LinearHead):
        row = network.head_specs[task].head
        raise UsageError(
            f"The head {row} of the task {task} is not linear on pooled features, so the graph can not give a map of it. {other}"
        )
    bases = {name: base for name in head.names if (base := _base(network, name)) is not None}
    if not bases:
        raise UsageError(
            f"The head of the task {task} reads {', '.join(head.names)}: no mean or maximum of a map of "
            f"{network.architecture.name}, so the graph can not give a map of it. {other}"
        )
    order = list(network.declared)
    deepest = max(bases.values(), key=order.index)
    columns, start = [], 0
    for name in head.names:
        end = start + network.feature(name).channels
        if bases.get(name) == deepest:
            columns.append((start, end))
        start = end
    left = tuple(name for name in head.names if bases.get(name) != deepest)
    return ClassMap(deepest, tuple(columns), left)


def _base(network: Network, feature: str) -> str | None:
    """The map that a pooled feature is the mean or the maximum of; None where it is neither."""
    for over in (POOL, MAX):
        if feature.startswith(over):
            return feature.removeprefix(over)
    head = network.head
    plain = isinstance(head, ConvolutionalHead) and not head.grid and isinstance(head.linear, nn.Identity)
    if feature != POOLED or not plain:
        return None
    return HEAD_CONV if HEAD_CONV in network.declared else f"stage{len(network.stages) - 1}"


class Mapped(nn.Module):
    """The graph that ships, and after its outputs a map for each of `maps`: (N, classes, h, w), or of more than MOST_CLASSES
    classes (N, FIRST, h, w), of the FIRST with the highest logits, that of the highest first. Before Grad-CAM's ReLU: what speaks
    against a class is negative."""

    def __init__(self, decoded: Decoded, maps: Mapping[str, ClassMap]) -> None:
        super().__init__()
        self.decoded = decoded
        self._maps = {task: (own.feature, own.columns) for task, own in maps.items()}
        self.names = (*decoded.names, *(map_output(decoded.network, task) for task in maps))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) preprocessed images to a tensor for each of `names`, a batch first."""
        network = self.decoded.network
        maps = [feature for feature, _ in self._maps.values()]
        features = network.features(images, dict.fromkeys((*network.features_read, *maps)))
        learned = network.on_features(features)
        found = [
            _map(network.heads[task], features[feature], columns, learned[task])
            for task, (feature, columns) in self._maps.items()
        ]
        return (*self.decoded.of_learned(learned), *found)


def _map(head: nn.Module, level: Tensor, columns: tuple[tuple[int, int], ...], learned: Mapping[str, Tensor]) -> Tensor:
    assert isinstance(head, LinearHead)
    weight, (height, width) = head.linear.weight, (level.shape[2], level.shape[3])
    classes = weight.shape[0]
    if classes <= MOST_CLASSES:
        own = sum_of(weight, columns) / (height * width)
        return nn.functional.conv2d(level, own[:, :, None, None])
    first = learned[head.role].topk(FIRST, dim=1).indices
    own = sum_of(weight, columns)[first] / (height * width)  # (N, FIRST, channels)
    maps: Tensor = own @ level.flatten(2)
    return maps.reshape(-1, FIRST, height, width)


def sum_of(weight: Tensor, columns: tuple[tuple[int, int], ...]) -> Tensor:
    """Of a head's weights (classes, features) those of the columns, added up: (classes, channels)."""
    parts = [weight[:, first:last] for first, last in columns]
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)


def map_output(network: Network, task: str) -> str:
    """The graph's name of a task's map."""
    return next(iter(network.named({task: {OUTPUT: None}})))


def map_manifest(network: Network, task: str, shape: tuple[int, ...]) -> MapManifest:
    """What a bundle says of a task's map. shape: for one image."""
    own = class_map_of(network, task)
    return MapManifest(map_output(network, task), shape, own.feature, own.leaves_out)
