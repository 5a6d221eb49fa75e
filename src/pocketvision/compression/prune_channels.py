"""Structured pruning: whole channels are removed, by torch-pruning's dependency graph; what is left is a set of rows again."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from pocketvision.compression.grid_layers import GridLayers
from pocketvision.compression.prune_settings import Importance
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.models.blocks import ConvNormAct, SqueezeExcite
from pocketvision.models.cost import cost
from pocketvision.models.features import POOLED
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture, BlockWidths, StageRow
from pocketvision.training.objective import Objective, Targets
from pocketvision.training.tuning import said_by_task

MULTIPLE = 8
"""Channels stay multiples of this: what rows are rounded to, and what kernels are fast for."""

_STEPS = 60
_MOST = 0.9  # of a layer's channels that may go: none is removed whole


def prune_channels(
    network: Network,
    within: Callable[[Architecture], bool],
    *,
    size: int,
    importance: Importance = "l1",
    gradients: Callable[[Network], None] | None = None,
) -> Network:
    """A smaller copy of `network`: its least important channels removed, a few at a time, until its rows are `within` the target.

    Importance is of groups of channels that have to go together (a residual's both sides, a depthwise convolution's two):
    "l1" of their weights, "bn-scale" of the norms' factors, or "taylor", weight times gradient, which `gradients` leaves in the
    network (gradients_of). All layers are ranked together. The network given is left as it is.

    Raises UsageError for a network that is not made of rows, and when the target lies below what can be removed;
    MissingExtraError without torch-pruning.
    """
    try:
        import torch_pruning
    except ImportError:
        raise MissingExtraError("Pruning channels", "prune") from None
    if not isinstance(network.architecture, Architecture):
        raise UsageError(
            f"{network.architecture.name} is not made of convolutional rows, which are what is pruned here."
        )
    smaller = copy.deepcopy(network).float().requires_grad_(True)
    grids = GridLayers(smaller)
    pruner = torch_pruning.pruner.BasePruner(
        smaller,
        torch.zeros(2, 3, size, size),
        importance=_importance(torch_pruning, importance),
        global_pruning=True,
        pruning_ratio=_MOST,
        max_pruning_ratio=_MOST,
        iterative_steps=_STEPS,
        ignored_layers=[smaller.heads, *grids.modules, *_unread(smaller), *_squeezing(smaller)],
        round_to=MULTIPLE,
        forward_fn=partial(_traceable, grids=grids),
    )
    rows = pruned_rows(smaller)
    for _ in range(_STEPS):
        if within(rows):
            grids.remove()
            return _rebuilt(smaller, rows)
        if gradients is not None:
            gradients(smaller)
            grids.take_gradients()
        pruner.step()
        grids.give_back()
        rows = pruned_rows(smaller)
    left = cost(rows, size=size)
    raise UsageError(
        f"So much can not be removed from {network.architecture.name}: at the least {left.macs / 1e6:.1f} M "
        f"multiply-accumulates and {left.parameters / 1e6:.2f} M parameters are left."
    )


def pruned_rows(network: Network) -> Architecture:
    """The rows of a network whose channels were removed, read off its layers."""
    before = network.architecture
    assert isinstance(before, Architecture)
    stages = tuple(
        _row(row, list(stage.children())) for row, stage in zip(before.scaled_stages(), network.stages, strict=True)
    )
    linear = getattr(network.head, "linear", None)
    return replace(
        before,
        width=1.0,
        depth=1.0,
        fixed_ends=False,
        stem_channels=_out(network.stem),
        head_channels=_out(network.head.conv) if before.scaled_head_channels() else 0,
        hidden_channels=linear.out_features if isinstance(linear, nn.Linear) else 0,
        stages=stages,
    )


def _row(row: StageRow, blocks: list[Any]) -> StageRow:
    widths = tuple(_widths(row, block) for block in blocks)
    return replace(row, channels=widths[-1].channels, blocks=widths)


def _widths(row: StageRow, block: Any) -> BlockWidths:
    out = _out_of_block(block)
    if row.block in ("basic", "bottleneck"):
        middle = _out(block.conv2) if row.block == "bottleneck" else 0
        return BlockWidths(out, _out(block.conv1), middle, residual=isinstance(block.shortcut, nn.Identity))
    squeezed = block.squeeze.reduce.out_channels if isinstance(block.squeeze, SqueezeExcite) else 0
    wide = block.expand if isinstance(block.expand, ConvNormAct) else block.depthwise
    return BlockWidths(out, _out(wide), squeezed=squeezed, residual=block.residual)


def _out_of_block(block: Any) -> int:
    candidates = ("project", "conv3", "conv2", "depthwise", "expand")
    last = next(part for name in candidates if isinstance(part := getattr(block, name, None), ConvNormAct))
    return _out(last)


def _out(part: Any) -> int:
    return int(part.conv.out_channels)


def _unread(network: Network) -> list[nn.Module]:
    """The backbone's own head, where no task's head reads it: it costs nothing, and to narrow it would save nothing."""
    return [] if any(network.feature(name).cut is None for name in network.features_read) else [network.head]


def _squeezing(network: nn.Module) -> list[nn.Module]:
    """Squeeze-and-excitation's narrow layers: too few channels to round to MULTIPLE, and next to no cost."""
    return [module.reduce for module in network.modules() if isinstance(module, SqueezeExcite)]


def _traceable(network: nn.Module, images: Tensor, *, grids: GridLayers) -> Any:
    """Run in training mode, where convolutions and norms run one by one (blocks.py), which is what dependencies are traced from;
    the norms' statistics stay as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    # Pooled features as well: what no head reads goes with what it is computed from.
    whole = cast(Network, network.train())
    found = whole.features(images, [*grids.features, POOLED])
    output = grids.outputs(found), found[POOLED]
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
    return output


def _importance(library: Any, name: Importance) -> Any:
    if name == "bn-scale":
        return library.importance.BNScaleImportance()
    if name == "taylor":
        return library.importance.GroupTaylorImportance()
    return library.importance.GroupMagnitudeImportance(p=1)


def gradients_of(objective: Objective, batches: Sequence[tuple[Tensor, Targets]]) -> Callable[[Network], None]:
    """Leaves the gradients of the loss over `batches` of images (N, 3, H, W) and targets in a network, norms as they answer."""

    alone = next(iter(objective.learners))

    def backward(network: Network) -> None:
        network.zero_grad()
        for images, targets in batches:
            objective.loss(said_by_task(network(images), alone), targets).backward()  # type: ignore[no-untyped-call]
        for parameter in network.parameters():
            if parameter.grad is None:  # no head reads what it computes, so the loss does not hang on it
                parameter.grad = torch.zeros_like(parameter)

    return backward


def _rebuilt(smaller: Network, rows: Architecture) -> Network:
    """A network of the rows with the weights: strict, so that rows that do not describe what is left are an error."""
    with torch.random.fork_rng(devices=[]):
        channels: Any = smaller.stem.conv.in_channels  # type: ignore[union-attr]
        network = Network(rows, smaller.head_specs, in_channels=channels)
    network.load_state_dict(smaller.state_dict())
    return network.eval()
