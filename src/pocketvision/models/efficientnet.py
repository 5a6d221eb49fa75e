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
)

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

ROWS: tuple[Architecture, ...] = (
    B0,
    TF_B0,
    LITE0,
    replace(LITE0, name="efficientnet_lite1", width=1.0, depth=1.1, input_size=240),
    replace(LITE0, name="efficientnet_lite2", width=1.1, depth=1.2, input_size=260, dropout=0.3),
)
