"""A slimmed EfficientNet for phones, in three widths, as rows. Ours; there are no published weights of it.

EfficientNet's plan with what mobile processors run badly taken out: five stages in place of seven, 3x3 kernels only, an expansion
of 4 in place of 6, hard-swish and a hard sigmoid in place of their smooth originals, and a head of a quarter of the width.
Squeeze-and-excitation has a quarter of the widened channels, which are the table's times the width, rounded to whole ones.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow


def _row(expansion: int, channels: int, repeats: int, stride: int) -> StageRow:
    return StageRow(
        kernel=3, stride=stride, expansion=expansion, channels=channels, repeats=repeats, squeeze_ratio=0.25
    )


LARGE = Architecture(
    name="mobile_efficientnet_large",
    family="mobile_efficientnet",
    stages=(_row(1, 16, 1, 1), _row(4, 24, 2, 2), _row(4, 40, 2, 2), _row(4, 80, 2, 2), _row(4, 160, 2, 2)),
    stem_channels=32,
    head_channels=320,
    activation="hard_swish",
    padding="symmetric",
    norm_epsilon=1e-5,
    input_size=224,
    dropout=0.2,
    width=0.75,
    narrow_head=True,
    squeeze_of="expanded",
    gate="hard_sigmoid",
    channel_multiple=1,
)

ROWS: tuple[Architecture, ...] = (
    replace(LARGE, name="mobile_efficientnet_small", width=0.35),
    replace(LARGE, name="mobile_efficientnet_medium", width=0.5),
    LARGE,
)
