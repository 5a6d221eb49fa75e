"""EfficientNet (Tan & Le, 2019, https://arxiv.org/abs/1905.11946) and EfficientNet-Lite (its authors, 2020), as rows.

Lite leaves out squeeze-and-excitation and takes ReLU6, both for the sake of int8 and of mobile accelerators, and does
not scale the stem, the head and the ends' depth.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow

# Table 1 of the paper, stages 2 to 8; stage 1 is the stem and stage 9 the head.
STAGES = (
    StageRow(kernel=3, stride=1, expansion=1, channels=16, repeats=1, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=24, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=2, expansion=6, channels=40, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=80, repeats=3, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=1, expansion=6, channels=112, repeats=3, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=2, expansion=6, channels=192, repeats=4, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=1, expansion=6, channels=320, repeats=1, squeeze_ratio=0.25),
)

B0 = Architecture(
    name="efficientnet_b0",
    family="efficientnet",
    stages=STAGES,
    stem_channels=32,
    head_channels=1280,
    activation="silu",
    padding="symmetric",
    norm_epsilon=1e-5,
    input_size=224,
    dropout=0.2,
    narrow_head=True,
    drop_path=0.2,
)

# (width, depth, input size, dropout): the paper's coefficients, from its authors' repository.
SCALES: dict[str, tuple[float, float, int, float]] = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
}
LITE_SCALES: dict[str, tuple[float, float, int, float]] = {
    "lite0": (1.0, 1.0, 224, 0.2),
    "lite1": (1.0, 1.1, 240, 0.2),
    "lite2": (1.1, 1.2, 260, 0.3),
    "lite3": (1.2, 1.4, 280, 0.3),
    "lite4": (1.4, 1.8, 300, 0.3),
}

# The authors' own TensorFlow weights want TensorFlow's padding and epsilon.
TF_B0 = replace(B0, name="tf_efficientnet_b0", padding="same", norm_epsilon=1e-3)

LITE0 = replace(
    TF_B0,
    name="efficientnet_lite0",
    family="efficientnet_lite",
    stages=tuple(replace(row, squeeze_ratio=0.0) for row in STAGES),
    activation="relu6",
    fixed_ends=True,
)

# For 32-pixel images (CIFAR, Fashion-MNIST): a stem of stride 1 and one down-sampling fewer, so that 4 x 4 pixels are left before
# pooling, and half of the 192s.
SMALL_STAGES = tuple(
    replace(row, stride=1 if row.channels == 80 else row.stride, repeats=2 if row.channels == 192 else row.repeats)
    for row in STAGES
)
B0_SMALL = replace(B0, name="efficientnet_b0_small", stages=SMALL_STAGES, stem_stride=1, input_size=32, dropout=0.3)


def _scaled(base: Architecture, prefix: str, scales: dict[str, tuple[float, float, int, float]]) -> list[Architecture]:
    return [
        replace(base, name=f"{prefix}{size}", width=width, depth=depth, input_size=pixels, dropout=dropout)
        for size, (width, depth, pixels, dropout) in scales.items()
    ]


ROWS: tuple[Architecture, ...] = (
    *_scaled(B0, "efficientnet_", SCALES),
    *_scaled(TF_B0, "tf_efficientnet_", SCALES),
    *_scaled(LITE0, "efficientnet_", LITE_SCALES),
    B0_SMALL,
)
