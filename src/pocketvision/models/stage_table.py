"""A network's stages as a table: what repeats, at which resolution, with how many parameters and multiply-accumulates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pocketvision.models.cost import separable_share, total
from pocketvision.models.layer import Layer
from pocketvision.models.spec import ModelSpec, StageLine


@dataclass(frozen=True)
class StageInfo:
    """One line of `models info`: the stem, a stage or the head.

    `kernel` is its side, None where there is none, none that is square, or not one alone; `expansion` is None where it is not
    known. Both are so inside of timm's stages.
    `size` is its output's side in pixels. `separable_macs` are of its depthwise-separable pairs (a depthwise convolution and the
    1x1 after it), `standard_macs` of the standard convolutions that they stand for, 0 where it has none; `separable_theory` is
    what the former should be of the latter, 1/N + 1/k^2.
    """

    name: str
    block: str
    kernel: int | None
    stride: int
    expansion: float | None
    channels: int
    repeats: int
    size: int
    parameters: int
    macs: int
    separable_macs: int
    standard_macs: int
    separable_theory: float | None


def stage_infos(row: ModelSpec, found: Sequence[Layer], side: int) -> tuple[StageInfo, ...]:
    channels, strides = row.trunk_channels(), row.trunk_strides()
    stem = [layer for layer in found if layer.name.startswith("stem.")]
    ends = [layer for layer in found if layer.stage is None and layer not in stem]
    one = len(stem) == 1  # timm's may have blocks in it, or be the whole network
    stem_line = StageLine(
        "convolution" if one else "timm",
        _kernel_of(stem),
        stem[0].stride if one else strides[0],
        1.0 if one else None,
        channels[0],
        1,
    )
    convolutions = [layer for layer in ends if layer.name.startswith("head.") and layer.name != "head.linear"]
    kernel = _kernel_of(convolutions)
    head_line = StageLine("linear" if kernel is None else "convolution", kernel, 1, 1.0, row.feature_channels(), 1)
    return (
        _line("stem", stem_line, stem, -(-side // strides[0])),
        *(
            _line(f"stage {number}", line, [layer for layer in found if layer.stage == number], -(-side // stride))
            for number, (line, stride) in enumerate(zip(row.stage_lines(), strides[1:], strict=True))
        ),
        _line("head", head_line, ends, 1),
    )


def _kernel_of(own: Sequence[Layer]) -> int | None:
    """The side of the convolutions' one square kernel. Linear layers on tokens have none."""
    sides = {layer.kernel_sides for layer in own if layer.tokens is None}
    height, width = sides.pop() if len(sides) == 1 else (0, 1)
    return height if height == width else None


def _line(name: str, line: StageLine, own: list[Layer], pixels: int) -> StageInfo:
    """`pixels`: the output's side by the stride, for parts whose convolutions do not tell it."""
    sums = total(own)
    separable = standard = 0
    theory = None
    for first, second in _separable_pairs(own):
        if theory is None:
            theory = separable_share(first.kernel, second.out_channels, first.kernel_width)
        separable += first.macs + second.macs
        # A standard convolution of the depthwise kernel and stride, with the pair's inputs and outputs.
        standard += math.prod(first.kernel_sides) * first.in_channels * second.out_channels * first.size**2
    # Not those of squeeze-and-excitation, after pooling, nor linear layers on tokens.
    sizes = [layer.size for layer in own if layer.tokens is None and layer.size > 1]
    return StageInfo(
        name,
        line.block,
        line.kernel,
        line.stride,
        line.expansion,
        line.channels,
        line.repeats,
        sizes[-1] if sizes and name != "head" else pixels,
        sums.parameters,
        sums.macs,
        separable,
        standard,
        theory,
    )


def _separable_pairs(own: list[Layer]) -> list[tuple[Layer, Layer]]:
    """Every depthwise convolution with the 1x1 convolution that mixes its channels, squeeze-and-excitation (ours, timm's) between
    them or not."""
    kept = [layer for layer in own if ".squeeze." not in layer.name and ".se." not in layer.name]
    return [
        (first, second)
        for first, second in pairwise(kept)
        if first.groups == first.in_channels > 1 and second.kernel_sides == (1, 1) and first.size == second.size
    ]
