"""A slimmed EfficientNet for phones, in three widths, as rows. Ours; there are no published weights of it.

EfficientNet's plan with what mobile processors run badly taken out: five stages in place of seven, 3x3 kernels only, hard-swish
and a hard sigmoid in place of their smooth originals, and a head of half the width.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow

STAGES = (
    StageRow(kernel=3, stride=1, expansion=1, channels=16, repeats=1, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=24, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=40, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=112, repeats=3, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=192, repeats=3, squeeze_ratio=0.25),
)

LARGE = Architecture(
    name="mobile_efficientnet_large",
    family="mobile_efficientnet",
    stages=STAGES,
    stem_channels=32,
    head_channels=640,
    activation="hard_swish",
    padding="symmetric",
    norm_epsilon=1e-5,
    input_size=224,
    dropout=0.2,
    width=0.75,
    narrow_head=True,
    gate="hard_sigmoid",
)

ROWS: tuple[Architecture, ...] = (
    replace(LARGE, name="mobile_efficientnet_small", width=0.35),
    replace(LARGE, name="mobile_efficientnet_medium", width=0.5),
    LARGE,
)
