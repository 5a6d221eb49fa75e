"""A cheap backbone with a map at each stride up to 8, for tests of what stands on one."""

from pocketvision.models.spec import Architecture, StageRow


def _halving(channels: int) -> StageRow:
    """Two 3x3 convolutions, the first of stride 2."""
    return StageRow(kernel=3, stride=2, expansion=1, channels=channels, repeats=2, block="fused", residual=False)


PLAIN = Architecture(
    name="plain",
    family="plain",
    stages=(_halving(32), _halving(64), _halving(128)),
    stem_channels=32,
    head_channels=0,
    activation="relu",
    padding="symmetric",
    norm_epsilon=1e-5,
    input_size=32,
    dropout=0.2,
    stem_stride=1,
)
