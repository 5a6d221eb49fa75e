"""MobileNetV3 (Howard et al., 2019, https://arxiv.org/abs/1905.02244), as rows.

Hard-swish in the deeper half only (elsewhere it costs more than it gains), squeeze-and-excitation on the widened channels with a
hard sigmoid, and a last stage that pools before its widest layer.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow

# Table 1 of the paper. An expansion is the widened size over the input: 184 / 80 is 2.3.
LARGE_STAGES = (
    StageRow(kernel=3, stride=1, expansion=1, channels=16, repeats=1, activation="relu"),
    StageRow(kernel=3, stride=2, expansion=4, channels=24, repeats=1, activation="relu"),
    StageRow(kernel=3, stride=1, expansion=3, channels=24, repeats=1, activation="relu"),
    StageRow(kernel=5, stride=2, expansion=3, channels=40, repeats=3, activation="relu", squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=80, repeats=1),
    StageRow(kernel=3, stride=1, expansion=2.5, channels=80, repeats=1),
    StageRow(kernel=3, stride=1, expansion=2.3, channels=80, repeats=2),
    StageRow(kernel=3, stride=1, expansion=6, channels=112, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=2, expansion=6, channels=160, repeats=3, squeeze_ratio=0.25),
)
# Table 2 of the paper: 72 / 16 is 4.5, 88 / 24 is 3.67.
SMALL_STAGES = (
    StageRow(kernel=3, stride=2, expansion=1, channels=16, repeats=1, activation="relu", squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=4.5, channels=24, repeats=1, activation="relu"),
    StageRow(kernel=3, stride=1, expansion=3.67, channels=24, repeats=1, activation="relu"),
    StageRow(kernel=5, stride=2, expansion=4, channels=40, repeats=1, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=1, expansion=6, channels=40, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=1, expansion=3, channels=48, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=2, expansion=6, channels=96, repeats=3, squeeze_ratio=0.25),
)

LARGE = Architecture(
    name="mobilenet_v3_large",
    family="mobilenet_v3",
    stages=LARGE_STAGES,
    stem_channels=16,
    head_channels=960,
    activation="hard_swish",
    padding="symmetric",
    norm_epsilon=1e-3,
    input_size=224,
    dropout=0.2,
    stem_scales_from=0.75,
    narrow_head=True,
    hidden_channels=1280,
    squeeze_of="expanded",
    squeeze_activation="relu",
    gate="hard_sigmoid",
)
# Section 6.3: detectors halve the last stage's channels, which were made for a thousand classes, and need no layer after pooling.
LARGE_REDUCED = replace(
    LARGE,
    name="mobilenet_v3_large_reduced",
    stages=(*LARGE_STAGES[:-1], replace(LARGE_STAGES[-1], channels=80)),
    head_channels=480,
    hidden_channels=0,
    input_size=320,
)
# torchvision's two-stage detectors read the first block of stride 32 and the last convolution, and their norms have PyTorch's
# epsilon.
LARGE_SPLIT = replace(
    LARGE,
    name="mobilenet_v3_large_split",
    stages=(*LARGE_STAGES[:-1], replace(LARGE_STAGES[-1], repeats=1), replace(LARGE_STAGES[-1], stride=1, repeats=2)),
    norm_epsilon=1e-5,
    hidden_channels=0,
    input_size=320,
)
# Section 6.4: segmenters keep stride 16 to the end, and read the first block of stride 8.
LARGE_DILATED = replace(
    LARGE,
    name="mobilenet_v3_large_dilated",
    stages=(
        *LARGE_STAGES[:3],
        replace(LARGE_STAGES[3], repeats=1),
        replace(LARGE_STAGES[3], stride=1, repeats=2),
        *LARGE_STAGES[4:-1],
        replace(LARGE_STAGES[-1], stride=1, dilation=2),
    ),
    hidden_channels=0,
    input_size=520,
)
SMALL = replace(LARGE, name="mobilenet_v3_small", stages=SMALL_STAGES, head_channels=576, hidden_channels=1024)


def _minimalistic(row: Architecture) -> Architecture:
    """Without squeeze-and-excitation, hard-swish and 5x5 kernels: for hardware that runs none of them well (the authors'
    repository; trained in TensorFlow)."""
    return replace(
        row,
        name=f"{row.name}_minimalistic",
        stages=tuple(replace(stage, kernel=3, squeeze_ratio=0.0, activation=None) for stage in row.stages),
        activation="relu",
        padding="same",
    )


ROWS: tuple[Architecture, ...] = (LARGE, SMALL, _minimalistic(LARGE), _minimalistic(SMALL))
