"""ResNet (He et al., 2015, https://arxiv.org/abs/1512.03385), as rows: the reference that everybody knows, and a teacher.

A block learns what to *add* to its input, so that depth can not make things worse. The basic block is two 3x3 convolutions; the
bottleneck does its 3x3 convolution on a quarter of the channels, which pays for 2048 channels at the end.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, Block, StageRow


def _resnet(depth: int, block: Block, repeats: tuple[int, int, int, int]) -> Architecture:
    """A column of the paper's table 1."""
    widest = 4 if block == "bottleneck" else 1
    stages = tuple(
        StageRow(
            kernel=3,
            stride=1 if stage == 0 else 2,
            expansion=1 / widest,
            channels=64 * 2**stage * widest,
            repeats=repeats[stage],
            block=block,
        )
        for stage in range(4)
    )
    return Architecture(
        name=f"resnet{depth}",
        family="resnet",
        stages=stages,
        stem_channels=64,
        stem_kernel=7,
        stem_pool=True,
        head_channels=0,
        activation="relu",
        padding="symmetric",
        norm_epsilon=1e-5,
        input_size=224,
        dropout=0.0,
    )


ROWS: tuple[Architecture, ...] = (
    _resnet(18, "basic", (2, 2, 2, 2)),
    _resnet(34, "basic", (3, 4, 6, 3)),
    _resnet(50, "bottleneck", (3, 4, 6, 3)),
)

RESNET18, RESNET34, RESNET50 = ROWS
RESNET101 = _resnet(101, "bottleneck", (3, 4, 23, 3))


def dilated(row: Architecture) -> Architecture:
    """For maps of stride 8 to the end (Chen et al. 2017, https://arxiv.org/abs/1706.05587, section 3.1): the last two stages take
    a dilation in place of their stride, from their second block on, and hand it to what follows."""
    first, second, third, fourth = row.stages
    return replace(
        row,
        name=f"{row.name}_dilated",
        stages=(
            first,
            second,
            replace(third, stride=1, repeats=1),
            replace(third, stride=1, repeats=third.repeats - 1, dilation=2),
            replace(fourth, stride=1, repeats=1, dilation=2),
            replace(fourth, stride=1, repeats=fourth.repeats - 1, dilation=4),
        ),
        input_size=520,
    )
