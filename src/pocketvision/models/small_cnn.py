"""A plain convolutional network of three 3x3 convolutions for 32-pixel images, as rows: the yardstick of the courses, no tricks.

Each convolution is followed by batch norm, ReLU and a max-pooling of 2: the first two poolings stand in the rows after, the last
in the head, whose grid of 4 x 4 is what it leaves of 32 pixels. Larger images are pooled to the same grid.
"""

from pocketvision.models.spec import Architecture, StageRow


def _pooled(channels: int) -> StageRow:
    """A 2x2 max-pooling, then a 3x3 convolution."""
    return StageRow(
        kernel=3, stride=2, expansion=1, channels=channels, repeats=1, block="fused", residual=False, pool=True
    )


ROWS: tuple[Architecture, ...] = (
    Architecture(
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
    ),
)
