"""U-Net's contracting path (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597, figure 1), as rows: two 3x3 convolutions
at each stride, a 2x2 max-pooling between. Its other half is the head of the same name (heads/segmentation/plain_u_net.py).

Convolutions are padded, so that a mask is as large as its picture; the paper's lose their border.
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow


def _contracting(*widths: int) -> tuple[StageRow, ...]:
    """The stem is the first convolution at stride 1."""
    return tuple(
        StageRow(
            kernel=3,
            stride=2 if place else 1,
            expansion=1,
            channels=width,
            repeats=2 if place else 1,
            block="fused",
            residual=False,
            pool=place > 0,
        )
        for place, width in enumerate(widths)
    )


PAPER = Architecture(
    name="u_net_paper",
    family="u_net",
    stages=_contracting(64, 128, 256, 512, 1024),
    stem_channels=64,
    head_channels=0,
    activation="relu",
    padding="symmetric",
    norm_epsilon=0.0,
    input_size=512,
    dropout=0.5,
    stem_stride=1,
)
SMALL = replace(
    PAPER,
    name="u_net_small",
    stages=_contracting(16, 32, 64, 128),
    stem_channels=16,
    norm_epsilon=1e-5,
    input_size=256,
    dropout=0.0,
)

ROWS: tuple[Architecture, ...] = (SMALL, PAPER)
