"""A convolutional network's parts, from an architecture's rows: stem, stages, head."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.blocks import ACTIVATIONS, BLOCKS, ConvNormAct, Stem
from pocketvision.models.spec import Architecture, StageRow


def convolutional_parts(architecture: Architecture, in_channels: int) -> tuple[nn.Module, list[nn.Module], nn.Module]:
    """Stem, a stage a row, and head, with EfficientNet's random start; without norms He's."""
    channels = architecture.trunk_channels()
    rows, drop_paths = architecture.scaled_stages(), architecture.drop_paths()
    stem = Stem(architecture, in_channels)
    stages: list[nn.Module] = [
        _stage(architecture, inputs, row, drops) for inputs, row, drops in zip(channels, rows, drop_paths, strict=False)
    ]
    head = Head(architecture)
    for part in (stem, *stages, head):
        part.apply(_initialise if architecture.norm_epsilon else initialise_without_norms)
    return stem, stages, head


def _stage(architecture: Architecture, in_channels: int, row: StageRow, drop_paths: tuple[float, ...]) -> nn.Sequential:
    """The `row.repeats` blocks of a (scaled) row: the first takes the stride and the change of channels."""
    return nn.Sequential(
        *(
            BLOCKS[row.block](
                architecture,
                row.of_block(index),
                in_channels if index == 0 else row.of_block(index - 1).channels,
                stride=row.stride if index == 0 else 1,
                drop_path=drop_paths[index],
            )
            for index in range(row.repeats)
        )
    )


class Head(nn.Module):
    """From the last stage's activations to pooled features: a 1x1 convolution or none, the mean over the image or its maxima
    over a grid, and in MobileNetV3 (section 5.1: the same function before pooling would cost 49 times as much) and in the plain
    CNN a linear layer after it."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels, wide = architecture.trunk_channels()[-1], architecture.scaled_head_channels()
        conv = partial(ConvNormAct, padding=architecture.padding, norm_epsilon=architecture.norm_epsilon)
        self.conv = conv(channels, wide, 1, activation=architecture.activation) if wide else nn.Identity()
        hidden = architecture.hidden_channels
        self.grid = architecture.head_grid
        self.dropout = nn.Dropout(architecture.hidden_dropout) if architecture.hidden_dropout else nn.Identity()
        self.linear = nn.Linear(architecture.pooled_channels(), hidden) if hidden else nn.Identity()
        self.act = ACTIVATIONS[architecture.activation]() if hidden else nn.Identity()

    def forward(self, activations: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, features)."""
        return self.pool(self.conv(activations))

    def pool(self, level: Tensor) -> Tensor:
        """What follows the 1x1 convolution: (N, channels, h, w) to (N, features)."""
        pooled = self.dropout(grid_maxima(level, self.grid) if self.grid else level.mean((2, 3)))
        features: Tensor = self.act(self.linear(pooled.to(_dtype_of(self.linear, pooled))))
        return features


def grid_maxima(level: Tensor, grid: int) -> Tensor:
    """The maxima over grid x grid parts of equal size: (N, channels, h, w) to (N, channels * grid * grid).

    A map (not negative: after a ReLU) that they do not divide gets zeros at the right and the bottom.
    """
    height, width = (-(-side // grid) for side in level.shape[2:])
    missing = (grid * width - level.shape[3], grid * height - level.shape[2])
    level = F.pad(level, (0, missing[0], 0, missing[1])) if any(missing) else level
    return F.max_pool2d(level, (height, width), stride=(height, width)).flatten(1)  # Core ML wants the stride said


def _dtype_of(module: nn.Module, otherwise: Tensor) -> torch.dtype:
    """The precision of a layer's weights, or of `otherwise` when it has none."""
    return module.weight.dtype if isinstance(module, nn.Linear) else otherwise.dtype


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """EfficientNet's start, which is Kaiming's (He et al. 2015): convolutions normal with variance 2 / fan-out, where fan-out
    counts a group's outputs. So does a linear layer on a whole grid, by its fan-in."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Head) and module.grid and isinstance(module.linear, nn.Linear):
        nn.init.kaiming_normal_(module.linear.weight, nonlinearity="relu")
        nn.init.zeros_(module.linear.bias)


@torch.no_grad()
def initialise_without_norms(module: nn.Module) -> None:
    """Convolutions normal with variance 2 / fan-in (He et al. 2015, https://arxiv.org/abs/1502.01852), no shift."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
