"""What a network costs, counted layer by layer from its rows: parameters, multiply-accumulates, activations. Needs no torch.

Counted are convolutions, linear layers and, among the parameters, norms; additions, activations and pooling cost next to nothing
and have no share in published figures either. Tests hold every row to the built network (torch.utils.flop_counter).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pocketvision.models.layer import CLASSIFIER, Layer
from pocketvision.models.spec import Architecture, ModelSpec, StageRow, has_shortcut
from pocketvision.models.timm_backbone import TimmBackbone
from pocketvision.models.timm_names import require_timm
from pocketvision.models.vit import VisionTransformer


@dataclass(frozen=True)
class Cost:
    """Sums over layers, for one image. macs are multiply-accumulates; activations are numbers put out by all layers."""

    parameters: int
    macs: int
    activations: int


def total(layers: Iterable[Layer]) -> Cost:
    """The sum over `layers`."""
    every = list(layers)
    return Cost(
        sum(layer.parameters for layer in every),
        sum(layer.macs for layer in every),
        sum(layer.activations for layer in every),
    )


def cost(architecture: ModelSpec, *, size: int | None = None, num_classes: int = 1000) -> Cost:
    """Of the whole network for a square input of `size` pixels (None: the architecture's)."""
    return total(layers(architecture, size=size, num_classes=num_classes))


def layers(architecture: ModelSpec, *, size: int | None = None, num_classes: int = 1000) -> tuple[Layer, ...]:
    """Every layer in the order it runs, for a square input of `size` pixels (None: the architecture's).

    Raises UsageError for a size that the network can not take.
    """
    side = architecture.input_size if size is None else size
    architecture.check_size(side, side)
    found: Iterable[Layer] = ()
    if isinstance(architecture, Architecture):
        found = _convolutional(architecture, side)
    elif isinstance(architecture, VisionTransformer):
        found = _transformer(architecture, side)
    elif isinstance(architecture, TimmBackbone):
        require_timm(architecture.name)
        from pocketvision.models.timm_parts import timm_layers  # needs torch as well

        found = timm_layers(architecture, side)
    features = architecture.feature_channels()
    norm = 2 * features if isinstance(architecture, VisionTransformer) else 0
    return (*found, Layer(CLASSIFIER, None, features, num_classes, 1, 1, 1, 1, False, more_parameters=norm))


def _convolutional(architecture: Architecture, side: int) -> list[Layer]:
    side, channels = _halved(side, architecture.stem_stride), architecture.trunk_channels()
    kernel, stride, normed = architecture.stem_kernel, architecture.stem_stride, architecture.norm_epsilon > 0
    found = [Layer("stem.conv", None, 3, channels[0], kernel, stride, 1, side, normed)]
    side = _halved(side, 2) if architecture.stem_pool else side
    for stage, row in enumerate(architecture.scaled_stages()):
        for index in range(row.repeats):
            inputs, stride = (channels[stage], row.stride) if index == 0 else (row.of_block(index - 1).channels, 1)
            block = _residual_block if row.block in ("basic", "bottleneck") else _block
            found += block(architecture, row.of_block(index), f"stages.{stage}.{index}", stage, inputs, stride, side)
            side = _halved(side, stride)
    wide = architecture.scaled_head_channels()
    if wide:
        found.append(Layer("head.conv.conv", None, channels[-1], wide, 1, 1, 1, side, normed))
    if architecture.hidden_channels:
        found.append(
            Layer("head.linear", None, architecture.pooled_channels(), architecture.hidden_channels, 1, 1, 1, 1, False)
        )
    return found


def _transformer(spec: VisionTransformer, side: int) -> Iterator[Layer]:
    """Patches, then four linear layers a block."""
    width, hidden, grid = spec.width, spec.hidden_channels(), side // spec.patch
    tokens = grid**2 + 1
    embedding = width * (1 + (spec.input_size // spec.patch) ** 2 + 1)
    yield Layer("stem.conv", None, 3, width, spec.patch, spec.patch, 1, grid, False, more_parameters=embedding)
    norm = 2 * width
    for block in range(spec.depth):

        def linear(
            name: str, inputs: int, outputs: int, *, more_parameters: int = 0, more_macs: int = 0, block: int = block
        ) -> Layer:
            return Layer(
                f"stages.{block}.{name}",
                block,
                inputs,
                outputs,
                1,
                1,
                1,
                grid,
                False,
                tokens,
                more_parameters,
                more_macs,
            )

        yield linear("attention.qkv", width, 3 * width, more_parameters=norm, more_macs=2 * tokens**2 * width)
        yield linear("attention.project", width, width)
        yield linear("widen", width, hidden, more_parameters=norm)
        yield linear("narrow", hidden, width)


def separable_share(kernel: int, out_channels: int, kernel_width: int | None = None) -> float:
    """What a depthwise-separable convolution costs, as a share of the standard one: 1/N + 1/k^2 (MobileNetV1, section 3.1).

    kernel_width: that of a kernel that is not square, whose height is `kernel`.
    """
    return 1 / out_channels + 1 / (kernel * (kernel_width or kernel))


def _block(
    architecture: Architecture, row: StageRow, name: str, stage: int, inputs: int, stride: int, side: int
) -> Iterator[Layer]:
    wide, out, after = architecture.expanded_channels(inputs, row), row.channels, _halved(side, stride)
    normed = architecture.norm_epsilon > 0
    if row.pool:  # before the block
        side, stride = after, 1
    if row.block == "fused":
        yield Layer(f"{name}.expand.conv", stage, inputs, wide, row.kernel, stride, 1, after, normed)
    else:
        if row.expansion != 1:
            yield Layer(f"{name}.expand.conv", stage, inputs, wide, 1, 1, 1, side, normed)
        yield Layer(f"{name}.depthwise.conv", stage, wide, wide, row.kernel, stride, wide, after, normed)
    squeezed = architecture.squeezed_channels(inputs, row)
    if squeezed:
        yield Layer(f"{name}.squeeze.reduce", stage, wide, squeezed, 1, 1, 1, 1, False)
        yield Layer(f"{name}.squeeze.expand", stage, squeezed, wide, 1, 1, 1, 1, False)
    if row.block != "fused" or row.expansion != 1:
        yield Layer(f"{name}.project.conv", stage, wide, out, 1, 1, 1, after, normed)


def _residual_block(
    architecture: Architecture, row: StageRow, name: str, stage: int, inputs: int, stride: int, side: int
) -> Iterator[Layer]:
    inner, out, after = architecture.expanded_channels(inputs, row), row.channels, _halved(side, stride)
    normed = architecture.norm_epsilon > 0
    if row.block == "basic":
        yield Layer(f"{name}.conv1.conv", stage, inputs, inner, row.kernel, stride, 1, after, normed)
        yield Layer(f"{name}.conv2.conv", stage, inner, out, row.kernel, 1, 1, after, normed)
    else:
        yield Layer(f"{name}.conv1.conv", stage, inputs, inner, 1, 1, 1, side, normed)
        middle = row.blocks[0].middle if row.blocks else inner
        yield Layer(f"{name}.conv2.conv", stage, inner, middle, row.kernel, stride, 1, after, normed)
        yield Layer(f"{name}.conv3.conv", stage, middle, out, 1, 1, 1, after, normed)
    if has_shortcut(row, inputs, stride):
        yield Layer(f"{name}.shortcut.conv", stage, inputs, out, 1, stride, 1, after, normed)


def _halved(side: int, stride: int) -> int:
    return math.ceil(side / stride)
