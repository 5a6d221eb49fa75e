"""The features that a backbone gives, by name, with their channels and strides: what heads read. Needs no torch.

`stem` and `stage0`, `stage1` … are what comes out of the stem and of each stage (numbered as `models info` lists them: stage i is
`stages.i`, cut i + 1); `stride8`, `stride16` … the deepest of a stride, the levels of a pyramid; `head_conv` what the last 1x1
convolution gives, where there is one; `expansion8` what the first block of stage 8 widens its input to, where that stage halves
the map and its blocks widen (what SSDLite reads): all of these are maps, (N, channels, h, w). `pool:NAME` is the mean over a map,
`max:NAME` its maximum, and `pooled` what the backbone ends in: (N, channels). `grid:NAME` are the means over GRID x GRID parts of
a map, (N, channels * GRID * GRID): they still say where. Expansions are not pooled.
"""

from dataclasses import dataclass, replace

from pocketvision.models.ensemble import Ensemble
from pocketvision.models.spec import Architecture, ModelSpec

POOLED, HEAD_CONV = "pooled", "head_conv"
CUT = "cut"
"""Not a feature but what those above a cut are computed from: the activations there, as the stages hand them on."""
POOL, MAX, GRIDDED = "pool:", "max:", "grid:"
EXPANSION = "expansion"
GRID = 4


@dataclass(frozen=True)
class Feature:
    """One of a backbone's features. stride: input pixels a pixel of the map; None for pooled features, which have no pixels.

    cut: how many stages lie below it (0: the stem's); None for what comes after all of them.
    """

    name: str
    channels: int
    stride: int | None
    cut: int | None

    def is_below(self, cut: int) -> bool:
        """Whether the activations at `cut` no longer tell it."""
        return self.cut is not None and self.cut < cut


def features_of(architecture: ModelSpec) -> dict[str, Feature]:
    """Every feature by name, the shallow ones first. An ensemble has those that its members' heads make, and no other."""
    if isinstance(architecture, Ensemble):
        return {name: Feature(name, channels, None, None) for name, channels in architecture.outputs().items()}
    channels, strides = architecture.trunk_channels(), architecture.trunk_strides()
    names = ["stem", *(f"stage{stage}" for stage in range(len(channels) - 1))]
    maps = [Feature(*row, cut) for cut, row in enumerate(zip(names, channels, strides, strict=True))]
    deepest = {each.stride: each for each in maps}
    maps += [replace(each, name=f"stride{stride}") for stride, each in deepest.items()]
    if isinstance(architecture, Architecture) and architecture.head_channels:
        maps.append(Feature(HEAD_CONV, architecture.scaled_head_channels(), strides[-1], None))
    pooled = [replace(each, name=over + each.name, stride=None) for over in (POOL, MAX) for each in maps]
    pooled += [Feature(GRIDDED + each.name, each.channels * GRID * GRID, None, each.cut) for each in maps]
    last = Feature(POOLED, architecture.feature_channels(), None, None)
    return {each.name: each for each in (*maps, *_expansions(architecture), *pooled, last)}


def _expansions(architecture: ModelSpec) -> list[Feature]:
    """Of the stages that halve the map: a block's widened input, at the stride before it."""
    if not isinstance(architecture, Architecture):
        return []
    channels, strides, rows = architecture.trunk_channels(), architecture.trunk_strides(), architecture.scaled_stages()
    return [
        Feature(f"{EXPANSION}{stage}", architecture.expanded_channels(channels[stage], row), strides[stage], stage)
        for stage, row in enumerate(rows)
        if row.block == "inverted" and row.stride > 1 and row.expansion != 1 and not row.pool
    ]


def multiscale_features(architecture: ModelSpec, levels: int = 3) -> tuple[str, ...]:
    """Mean and maximum of the deepest `levels` maps, the shallow ones first: stages, and the last 1x1 convolution where there is
    one. The deepest mean is `pooled`. Fewer where the backbone has fewer."""
    declared = features_of(architecture)
    maps = [name for name, each in declared.items() if each.stride is not None and name.startswith("stage")]
    maps += [HEAD_CONV] if HEAD_CONV in declared else []
    *shallow, deepest = maps[-levels:]
    return (*(over + name for name in shallow for over in (POOL, MAX)), POOLED, MAX + deepest)


def grid_features(architecture: ModelSpec, levels: int = 3) -> tuple[str, ...]:
    """Grids of the `levels` stages before the last, the shallow ones first: the middle of a network knows more of drawings than
    its end. Fewer where the backbone has fewer."""
    stages = [f"stage{stage}" for stage in range(len(architecture.trunk_channels()) - 1)]
    return tuple(GRIDDED + name for name in (stages[-levels - 1 : -1] or stages))
