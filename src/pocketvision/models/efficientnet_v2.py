"""EfficientNetV2 (Tan & Le, 2021, https://arxiv.org/abs/2104.00298), as rows.

The early stages are fused: one 3x3 convolution in place of a 1x1 and a depthwise one costs more multiplications, but
accelerators, and often CPUs, run it faster. S, M and L are searched and grown by hand, each with a table of its own (S's is the
paper's table 4; M's and L's are in its authors' repository); B0 to B3 scale one table.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow


def _fused(stride: int, expansion: int, channels: int, repeats: int) -> StageRow:
    return StageRow(kernel=3, stride=stride, expansion=expansion, channels=channels, repeats=repeats, block="fused")


def _inverted(stride: int, expansion: int, channels: int, repeats: int) -> StageRow:
    return StageRow(
        kernel=3, stride=stride, expansion=expansion, channels=channels, repeats=repeats, squeeze_ratio=0.25
    )


S_STAGES = (
    _fused(stride=1, expansion=1, channels=24, repeats=2),
    _fused(stride=2, expansion=4, channels=48, repeats=4),
    _fused(stride=2, expansion=4, channels=64, repeats=4),
    _inverted(stride=2, expansion=4, channels=128, repeats=6),
    _inverted(stride=1, expansion=6, channels=160, repeats=9),
    _inverted(stride=2, expansion=6, channels=256, repeats=15),
)
M_STAGES = (
    _fused(stride=1, expansion=1, channels=24, repeats=3),
    _fused(stride=2, expansion=4, channels=48, repeats=5),
    _fused(stride=2, expansion=4, channels=80, repeats=5),
    _inverted(stride=2, expansion=4, channels=160, repeats=7),
    _inverted(stride=1, expansion=6, channels=176, repeats=14),
    _inverted(stride=2, expansion=6, channels=304, repeats=18),
    _inverted(stride=1, expansion=6, channels=512, repeats=5),
)
L_STAGES = (
    _fused(stride=1, expansion=1, channels=32, repeats=4),
    _fused(stride=2, expansion=4, channels=64, repeats=7),
    _fused(stride=2, expansion=4, channels=96, repeats=7),
    _inverted(stride=2, expansion=4, channels=192, repeats=10),
    _inverted(stride=1, expansion=6, channels=224, repeats=19),
    _inverted(stride=2, expansion=6, channels=384, repeats=25),
    _inverted(stride=1, expansion=6, channels=640, repeats=7),
)
B_STAGES = (
    _fused(stride=1, expansion=1, channels=16, repeats=1),
    _fused(stride=2, expansion=4, channels=32, repeats=2),
    _fused(stride=2, expansion=4, channels=48, repeats=2),
    _inverted(stride=2, expansion=4, channels=96, repeats=3),
    _inverted(stride=1, expansion=6, channels=112, repeats=5),
    _inverted(stride=2, expansion=6, channels=192, repeats=8),
)

S = Architecture(
    name="efficientnet_v2_s",
    family="efficientnet_v2",
    stages=S_STAGES,
    stem_channels=24,
    head_channels=1280,
    activation="silu",
    padding="symmetric",
    norm_epsilon=1e-3,
    input_size=384,
    dropout=0.2,
    drop_path=0.2,
)
# The B networks round channels to the nearest multiple of 8 however much that takes away.
B0 = replace(
    S,
    name="efficientnet_v2_b0",
    stages=B_STAGES,
    stem_channels=32,
    padding="same",
    input_size=224,
    narrow_head=True,
    round_limit=0.0,
)

ROWS: tuple[Architecture, ...] = (
    S,
    replace(S, name="efficientnet_v2_m", stages=M_STAGES, input_size=480, dropout=0.3),
    replace(S, name="efficientnet_v2_l", stages=L_STAGES, stem_channels=32, input_size=480, dropout=0.4),
    B0,
    replace(B0, name="efficientnet_v2_b1", depth=1.1, input_size=240),
    replace(B0, name="efficientnet_v2_b2", width=1.1, depth=1.2, input_size=260, dropout=0.3),
    replace(B0, name="efficientnet_v2_b3", width=1.2, depth=1.4, input_size=300, dropout=0.3),
)
