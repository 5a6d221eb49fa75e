"""A plain convolutional network of three blocks for 32-pixel images, as rows: the yardstick of the courses, no tricks."""

from pocketvision.models.spec import Architecture, StageRow


def _plain(channels: int) -> StageRow:
    """Two 3x3 convolutions, the first of stride 2."""
    return StageRow(kernel=3, stride=2, expansion=1, channels=channels, repeats=2, block="fused", residual=False)


ROWS: tuple[Architecture, ...] = (
    Architecture(
        name="small_cnn",
        family="small_cnn",
        stages=(_plain(32), _plain(64), _plain(128)),
        stem_channels=32,
        head_channels=0,
        activation="relu",
        padding="symmetric",
        norm_epsilon=1e-5,
        input_size=32,
        dropout=0.2,
        stem_stride=1,
    ),
)
