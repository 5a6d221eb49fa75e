"""What a network costs, counted layer by layer from its rows: parameters, multiply-accumulates, activations. Needs no torch.

Counted are convolutions, linear layers and, among the parameters, norms; additions, activations and pooling cost next to nothing
and have no share in published figures either. Tests hold every row to the built network (torch.utils.flop_counter).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pocketvision.models.spec import Architecture, StageRow


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer (kernel 1, size 1 x 1).

    `size` is the side of its output in pixels; `norm` says whether a batch norm follows in place of a bias. `name` is its
    module's path in the network; `stage` the row's index, None outside the stages.
    """

    name: str
    stage: int | None
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    groups: int
    size: int
    norm: bool

    @property
    def parameters(self) -> int:
        """Weights, and the norm's scale and shift or the bias."""
        return self._weights + self.out_channels * (2 if self.norm else 1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self._weights * self.size**2

    @property
    def activations(self) -> int:
        """Numbers it puts out for one image."""
        return self.out_channels * self.size**2

    @property
    def _weights(self) -> int:
        return self.out_channels * (self.in_channels // self.groups) * self.kernel**2


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


def cost(architecture: Architecture, *, size: int | None = None, num_classes: int = 1000) -> Cost:
    """Of the whole network for a square input of `size` pixels (None: the architecture's)."""
    return total(layers(architecture, size=size, num_classes=num_classes))


def layers(architecture: Architecture, *, size: int | None = None, num_classes: int = 1000) -> tuple[Layer, ...]:
    """Every layer in the order it runs, for a square input of `size` pixels (None: the architecture's)."""
    side = _halved(architecture.input_size if size is None else size, architecture.stem_stride)
    channels = architecture.trunk_channels()
    found = [Layer("stem.conv", None, 3, channels[0], 3, architecture.stem_stride, 1, side, True)]
    for stage, row in enumerate(architecture.scaled_stages()):
        for index in range(row.repeats):
            inputs, stride = (channels[stage], row.stride) if index == 0 else (row.channels, 1)
            found += _block(architecture, row, f"stages.{stage}.{index}", stage, inputs, stride, side)
            side = _halved(side, stride)
    pooled, wide = channels[-1], architecture.scaled_head_channels()
    if wide:
        found.append(Layer("head.conv.conv", None, pooled, wide, 1, 1, 1, side, True))
        pooled = wide
    if architecture.hidden_channels:
        found.append(Layer("head.linear", None, pooled, architecture.hidden_channels, 1, 1, 1, 1, False))
    found.append(Layer("classifier.1", None, architecture.feature_channels(), num_classes, 1, 1, 1, 1, False))
    return tuple(found)


def separable_share(kernel: int, out_channels: int) -> float:
    """What a depthwise-separable convolution costs, as a share of the standard one: 1/N + 1/k^2 (MobileNetV1, section 3.1)."""
    return 1 / out_channels + 1 / kernel**2


def _block(
    architecture: Architecture, row: StageRow, name: str, stage: int, inputs: int, stride: int, side: int
) -> Iterator[Layer]:
    wide, out, after = architecture.expanded_channels(inputs, row), row.channels, _halved(side, stride)
    if row.block == "fused":
        yield Layer(f"{name}.expand.conv", stage, inputs, wide, row.kernel, stride, 1, after, True)
    else:
        if row.expansion != 1:
            yield Layer(f"{name}.expand.conv", stage, inputs, wide, 1, 1, 1, side, True)
        yield Layer(f"{name}.depthwise.conv", stage, wide, wide, row.kernel, stride, wide, after, True)
    squeezed = architecture.squeezed_channels(inputs, row)
    if squeezed:
        yield Layer(f"{name}.squeeze.reduce", stage, wide, squeezed, 1, 1, 1, 1, False)
        yield Layer(f"{name}.squeeze.expand", stage, squeezed, wide, 1, 1, 1, 1, False)
    if row.block != "fused" or row.expansion != 1:
        yield Layer(f"{name}.project.conv", stage, wide, out, 1, 1, 1, after, True)


def _halved(side: int, stride: int) -> int:
    return math.ceil(side / stride)
