"""One pass over a network that counts every layer: parameters, multiply-accumulates, what it puts out, what it sees."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pocketvision.costs.layer_cost import LayerCost, NetworkCosts
from pocketvision.costs.receptive_field import Field, FieldTracing, traced_field
from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.network import Network
from pocketvision.printable import counted

Size = tuple[int, int]


@dataclass
class _Seen:
    """Of a layer, while the pass runs. It may run several times: a head that is shared over a pyramid."""

    shape: tuple[int, ...] = ()
    activations: int = 0
    fields: list[Field] = field(default_factory=list)


def units(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of a network by their paths, in the order they are written down: a convolution with what belongs to it, and
    every other module that holds parameters of its own. Each parameter is in one of them."""
    inside: list[str] = []
    for path, module in network.named_modules():
        if any(path.startswith(f"{outer}.") for outer in inside):
            continue
        if isinstance(module, ConvNormAct):
            inside.append(path)
            yield path, module
        elif next(module.parameters(recurse=False), None) is not None:
            yield path, module


def part_name(path: str) -> str:
    """The stem, stage, head or task that a layer is part of, by its path."""
    first, *rest = path.split(".")
    if first == "stages" and rest:
        return f"stage {rest[0]}"
    return rest[0] if first == "heads" and rest else first


@torch.no_grad()
def count(network: Network, size: Size, *, name: str | None = None) -> NetworkCosts:
    """Run the network once on an empty image of `size` (height, width) and count its layers, in the order they ran; those that no
    head reads come last, with nothing computed. What requires gradients counts as trainable."""
    owner, was = dict(units(network)), network.training
    images = torch.zeros(1, 3, *size, device=next(network.parameters()).device)
    seen: dict[str, _Seen] = {path: _Seen() for path in owner}
    order: list[str] = []
    learns = {
        path: sum(each.numel() for each in _own_parameters(own) if each.requires_grad) for path, own in owner.items()
    }
    learning = [each for each in network.parameters() if each.requires_grad]
    tracing, counter = FieldTracing(images), FlopCounterMode(display=False)
    hooks = [module.register_forward_hook(_look(path, seen[path], order, tracing)) for path, module in owner.items()]
    network.eval().requires_grad_(False)  # parameters that are handed to modules confuse the counter
    try:
        with sdpa_kernel(SDPBackend.MATH), tracing, counter:  # its products are counted, whichever kernel the CPU takes
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was)
        for each in learning:
            each.requires_grad_(True)
    counts = {
        path.partition(".")[2]: sum(own.values()) // 2 for path, own in counter.flop_counts.items() if "." in path
    }
    macs, parts = _own_macs(network, owner, counts), [part_name(path) for path in owner]
    ran = {path: place for place, path in reversed(list(enumerate(order)))}
    paths = sorted(owner, key=lambda path: (parts.index(part_name(path)), ran.get(path, len(order))))
    layers = [_layer(path, owner[path], macs[path], seen[path], learns[path]) for path in paths]
    return NetworkCosts(name or network.architecture.name, size, tuple(layers))


def _look(path: str, seen: _Seen, order: list[str], tracing: FieldTracing) -> Callable[[nn.Module, Any, Any], None]:
    def look(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
        tensors = [each for each in tree_leaves(outputs) if isinstance(each, Tensor)]
        order.append(path)
        seen.shape = seen.shape or tuple(tensors[0].shape[1:])
        seen.activations += sum(each.numel() for each in tensors)
        found = traced_field(tracing, outputs)
        if found is not None:
            seen.fields.append(found)

    return look


def _own_macs(network: nn.Module, owner: Mapping[str, nn.Module], counts: Mapping[str, int]) -> dict[str, int]:
    """Of each layer, what its module and those in it that are no layers count; what a module with layers inside computes beside
    them, as attention's two products, is put down to the first of them."""
    found = dict.fromkeys(owner, 0)
    modules = dict(network.named_modules())

    def called(path: str) -> int:
        """Of a module, or of those in it where they are called past it, as those of a list are."""
        return counts[path] if path in counts else sum(map(called, _children(modules, path)))

    for path in modules:
        own = counts.get(path, 0) - sum(map(called, _children(modules, path)))
        if not path or own <= 0:
            continue
        outer = [each for each in owner if path == each or path.startswith(f"{each}.")]
        within = [each for each in owner if each.startswith(f"{path}.")]
        if outer or within:
            found[outer[-1] if outer else within[0]] += own
    return found


def _children(modules: Mapping[str, nn.Module], path: str) -> list[str]:
    return [f"{path}.{name}" for name, _ in modules[path].named_children() if f"{path}.{name}" in modules]


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=isinstance(module, ConvNormAct)))


def _layer(path: str, module: nn.Module, macs: int, seen: _Seen, learns: int) -> LayerCost:
    widest = max(seen.fields, key=lambda each: each.size, default=None)
    return LayerCost(
        name=path,
        part=part_name(path),
        kind=_kind(module),
        trainable=learns,
        frozen=sum(each.numel() for each in _own_parameters(module)) - learns,
        macs=macs,
        shape=seen.shape,
        activations=seen.activations,
        field=None if widest is None else (round(widest.size[0]), round(widest.size[1])),
        sees_all=any(each.sees_all for each in seen.fields),
        timings={},
    )


def _kind(module: nn.Module) -> str:
    """In words: `3x3 conv /2, 32 groups`."""
    conv = module.conv if isinstance(module, ConvNormAct) else module
    if isinstance(conv, nn.Conv2d):
        height, width = conv.kernel_size
        depthwise = conv.groups == conv.in_channels > 1
        groups = ", depthwise" if depthwise else f", {counted(conv.groups, 'group')}" if conv.groups > 1 else ""
        stride = f" /{conv.stride[0]}" if conv.stride[0] > 1 else ""
        dilation = f", dilation {conv.dilation[0]}" if conv.dilation[0] > 1 else ""
        return f"{height}x{width} conv{stride}{groups}{dilation}"
    return type(conv).__name__.lower()
