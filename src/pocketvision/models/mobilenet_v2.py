"""MobileNetV2 (Sandler et al., 2018, https://arxiv.org/abs/1801.04381), as rows."""

from pocketvision.models.spec import Architecture, StageRow

# Table 2 of the paper: the bottleneck lines; the lines before and after them are the stem and the head.
STAGES = (
    StageRow(kernel=3, stride=1, expansion=1, channels=16, repeats=1),
    StageRow(kernel=3, stride=2, expansion=6, channels=24, repeats=2),
    StageRow(kernel=3, stride=2, expansion=6, channels=32, repeats=3),
    StageRow(kernel=3, stride=2, expansion=6, channels=64, repeats=4),
    StageRow(kernel=3, stride=1, expansion=6, channels=96, repeats=3),
    StageRow(kernel=3, stride=2, expansion=6, channels=160, repeats=3),
    StageRow(kernel=3, stride=1, expansion=6, channels=320, repeats=1),
)

ROWS: tuple[Architecture, ...] = (
    Architecture(
        name="mobilenet_v2",
        family="mobilenet_v2",
        stages=STAGES,
        stem_channels=32,
        head_channels=1280,
        activation="relu6",
        padding="symmetric",
        norm_epsilon=1e-5,
        input_size=224,
        dropout=0.2,
    ),
)
