"""MnasNet (Tan et al., 2019, https://arxiv.org/abs/1807.11626), as rows: found by a search over such rows, on a phone's clock."""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow

# Figure 7 of the paper (A1), and the network of the same search without squeeze-and-excitation (B1, the authors' repository).
A1_STAGES = (
    StageRow(kernel=3, stride=1, expansion=1, channels=16, repeats=1),
    StageRow(kernel=3, stride=2, expansion=6, channels=24, repeats=2),
    StageRow(kernel=5, stride=2, expansion=3, channels=40, repeats=3, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=2, expansion=6, channels=80, repeats=4),
    StageRow(kernel=3, stride=1, expansion=6, channels=112, repeats=2, squeeze_ratio=0.25),
    StageRow(kernel=5, stride=2, expansion=6, channels=160, repeats=3, squeeze_ratio=0.25),
    StageRow(kernel=3, stride=1, expansion=6, channels=320, repeats=1),
)
B1_STAGES = (
    StageRow(kernel=3, stride=1, expansion=1, channels=16, repeats=1),
    StageRow(kernel=3, stride=2, expansion=3, channels=24, repeats=3),
    StageRow(kernel=5, stride=2, expansion=3, channels=40, repeats=3),
    StageRow(kernel=5, stride=2, expansion=6, channels=80, repeats=3),
    StageRow(kernel=3, stride=1, expansion=6, channels=96, repeats=2),
    StageRow(kernel=5, stride=2, expansion=6, channels=192, repeats=4),
    StageRow(kernel=3, stride=1, expansion=6, channels=320, repeats=1),
)

A1 = Architecture(
    name="mnasnet_a1",
    family="mnasnet",
    stages=A1_STAGES,
    stem_channels=32,
    head_channels=1280,
    activation="relu",
    padding="symmetric",
    norm_epsilon=1e-5,
    input_size=224,
    dropout=0.2,
)

ROWS: tuple[Architecture, ...] = (A1, replace(A1, name="mnasnet_b1", stages=B1_STAGES))
