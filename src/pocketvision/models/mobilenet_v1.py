"""MobileNetV1 (Howard et al., 2017, https://arxiv.org/abs/1704.04861), as rows.

A standard convolution, taken apart: one that filters each channel by itself (depthwise), one that mixes channels (1x1). For a 3x3
kernel and N output channels that costs 1/N + 1/9 of the whole one. Alpha thins every layer; rho makes the input smaller,
which is a matter of preprocessing (`--size`), not of the network.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow


def _separable(stride: int, channels: int, repeats: int) -> StageRow:
    return StageRow(
        kernel=3, stride=stride, expansion=1, channels=channels, repeats=repeats, block="separable", residual=False
    )


# Table 1 of the paper, without the stem and the classifier.
STAGES = (
    _separable(stride=1, channels=64, repeats=1),
    _separable(stride=2, channels=128, repeats=2),
    _separable(stride=2, channels=256, repeats=2),
    _separable(stride=2, channels=512, repeats=6),
    _separable(stride=2, channels=1024, repeats=2),
)

V1 = Architecture(
    name="mobilenet_v1",
    family="mobilenet_v1",
    stages=STAGES,
    stem_channels=32,
    head_channels=0,
    activation="relu6",
    padding="symmetric",
    norm_epsilon=1e-5,
    input_size=224,
    dropout=0.2,
)

# For 32-pixel images (CIFAR, Fashion-MNIST): a stem of stride 1, half of the 512s and no 1024s, so that 4 x 4 pixels are left
# before pooling.
SMALL_STAGES = (
    _separable(stride=1, channels=64, repeats=1),
    _separable(stride=2, channels=128, repeats=2),
    _separable(stride=2, channels=256, repeats=2),
    _separable(stride=2, channels=512, repeats=3),
)

ROWS: tuple[Architecture, ...] = (
    V1,
    replace(V1, name="mobilenet_v1_small", stages=SMALL_STAGES, stem_stride=1, input_size=32),
)
