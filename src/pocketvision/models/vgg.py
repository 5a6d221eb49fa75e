"""VGG16 (Simonyan & Zisserman, 2014, https://arxiv.org/abs/1409.1556, table 1, D), as rows: 3x3 convolutions without norms, and a
max-pooling before each doubling of channels. Up to its last convolution: what SSD300 reads, whose own head stands in place of the
paper's linear layers."""

from pocketvision.models.spec import Architecture, StageRow


def _stage(channels: int, repeats: int, *, pool: bool = True) -> StageRow:
    return StageRow(
        kernel=3,
        stride=2 if pool else 1,
        expansion=1,
        channels=channels,
        repeats=repeats,
        block="fused",
        residual=False,
        pool=pool,
    )


VGG16 = Architecture(
    name="vgg16",
    family="vgg",
    stages=(_stage(64, 1, pool=False), _stage(128, 2), _stage(256, 3), _stage(512, 3), _stage(512, 3)),
    stem_channels=64,
    stem_stride=1,
    head_channels=0,
    activation="relu",
    padding="symmetric",
    norm_epsilon=0.0,
    input_size=300,
    dropout=0.0,
)
