"""Two networks of our own for 32-pixel images, as rows: a plain one, the yardstick of the courses, and one with shortcuts.

The plain one is three 3x3 convolutions, no tricks. Each is followed by batch norm, ReLU and a max-pooling of 2: the first two
poolings stand in the rows after, the last in the head, whose grid of 4 x 4 is what it leaves of 32 pixels. Larger images are
pooled to the same grid.

The other one pools in the same place, before three convolutions of 64, 128 and 256 channels, and adds to each what two more make
of it (ResNet's basic block, He et al. 2015, https://arxiv.org/abs/1512.03385).
"""

from dataclasses import replace

from pocketvision.models.spec import Architecture, StageRow


def _pooled(channels: int) -> StageRow:
    """A 2x2 max-pooling, then a 3x3 convolution."""
    return StageRow(
        kernel=3, stride=2, expansion=1, channels=channels, repeats=1, block="fused", residual=False, pool=True
    )


def _basic(channels: int) -> StageRow:
    """Two 3x3 convolutions, added to what they are made of."""
    return StageRow(kernel=3, stride=1, expansion=1, channels=channels, repeats=1, block="basic")


SMALL_CNN = Architecture(
    name="small_cnn",
    family="small_cnn",
    stages=(_pooled(64), _pooled(128)),
    stem_channels=32,
    head_channels=0,
    activation="relu",
    padding="symmetric",
    norm_epsilon=1e-5,
    input_size=32,
    dropout=0.5,
    stem_stride=1,
    head_grid=4,
    hidden_channels=512,
    hidden_dropout=0.5,
)

ROWS: tuple[Architecture, ...] = (
    SMALL_CNN,
    replace(
        SMALL_CNN,
        name="small_resnet",
        stages=(_pooled(64), _basic(64), _pooled(128), _basic(128), _pooled(256), _basic(256)),
        dropout=0.1,
        head_grid=0,
        hidden_channels=0,
        hidden_dropout=0.0,
    ),
)
