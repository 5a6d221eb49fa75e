"""What an architecture is: its paper's table as frozen rows, and the arithmetic that scales it."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, Literal, Protocol, get_args

from pocketvision.errors import UsageError

Padding = Literal["symmetric", "same"]
Activation = Literal["relu", "relu6", "silu", "hard_swish"]
Gate = Literal["sigmoid", "hard_sigmoid"]
Block = Literal["inverted", "fused", "separable", "basic", "bottleneck"]
SqueezeOf = Literal["input", "expanded"]

CHANNEL_MULTIPLE = 8


@dataclass(frozen=True)
class StageLine:
    """A stage (a cut lies after it) as tables and drawings show it. `block` says in a word what it repeats.

    `kernel` is None where the stage has none or not one alone, `expansion` where it is not known.
    """

    block: str
    kernel: int | None
    stride: int
    expansion: float | None
    channels: int
    repeats: int
    squeezes: bool = False


class ModelSpec(Protocol):
    """What any network is built from: rows (Architecture), a VisionTransformer's widths, or another library's name."""

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def dropout(self) -> float: ...

    def stage_lines(self) -> tuple[StageLine, ...]:
        """One line a stage."""
        ...

    def trunk_channels(self) -> tuple[int, ...]:
        """Channels of the trunk's output, indexed by the cut: entry 0 is the stem's, entry i that of i stages."""
        ...

    def trunk_strides(self) -> tuple[int, ...]:
        """Input pixels per trunk-output pixel, indexed by the cut."""
        ...

    def feature_channels(self) -> int:
        """Channels of the pooled features, which the classifier sees."""
        ...

    def check_size(self, height: int, width: int) -> None:
        """Raises UsageError, naming sizes that work, for an input of so many pixels that the network can not take."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data, which spec_from_dict (architecture_file.py) reads back."""
        ...


@dataclass(frozen=True)
class BlockWidths:
    """What a block of a pruned network has left: channels out of it, inside it (a bottleneck's second convolution has `middle`),
    and in its squeeze-and-excitation. `residual`: its input is added as it is, which equal widths alone do not tell any more."""

    channels: int
    inner: int
    middle: int = 0
    squeezed: int = 0
    residual: bool = False


@dataclass(frozen=True)
class StageRow:
    """One line of a paper's table: `repeats` blocks, of which only the first has the stride.

    `block`: "inverted" widens 1x1, filters each channel, narrows 1x1; "fused" widens by the kernel itself, then narrows 1x1
    (with `expansion` 1 it is one convolution); "separable" filters each channel, then mixes them 1x1 with an activation.
    "basic" is two convolutions of the kernel, "bottleneck" 1x1, the kernel, 1x1; both are added to their input, projected 1x1
    where the shape changes, before the last activation.
    `expansion` widens a block's input (1: no widening convolution at all); a bottleneck's is its inner share of `channels`.
    `squeeze_ratio` is the squeeze-and-excitation's width as a share of what Architecture.squeeze_of names; 0 means none.
    `activation` None takes the architecture's.
    `residual` adds a block's input to its output where the shape stays. `blocks`, of a pruned network: what each block has
    left, in place of what the row says of all. `dilation`: pixels between those that the kernel of an inverted, a basic or a
    bottleneck block reads, plus 1: in place of a stride, for maps that stay large (Chen et al. 2017). `pool`: the stride is a
    max-pooling before the first block (of a convolution there as in U-Net), not its kernel's.
    """

    kernel: int
    stride: int
    expansion: float
    channels: int
    repeats: int
    squeeze_ratio: float = 0.0
    block: Block = "inverted"
    activation: Activation | None = None
    residual: bool = True
    blocks: tuple[BlockWidths, ...] = ()
    dilation: int = 1
    pool: bool = False

    def of_block(self, index: int) -> "StageRow":
        """The row as its block `index` (from 0) is built."""
        if not self.blocks:
            return self
        own = self.blocks[index]
        return replace(self, channels=own.channels, residual=own.residual, blocks=(own,))


@dataclass(frozen=True)
class Architecture:
    """A convolutional network as data. `stages`, `stem_channels` and the head's channels are the paper's, before scaling.

    `width` and `depth` multiply channels and repeats (EfficientNet's compound scaling; MobileNet's alpha is a width).
    `stem_pool`: a 3x3 max-pooling of stride 2 follows the stem's convolution (ResNet).
    `fixed_ends` leaves the stem, the head and the first and last stage's repeats unscaled (EfficientNet-Lite).
    `stem_scales_from`: narrower widths than this leave the stem unscaled (MobileNetV3).
    `channel_multiple`: scaled channels are a multiple of it; rounding to it keeps at least `round_limit` of them.
    `head_channels` of a 1x1 convolution before pooling, 0 for none. `narrow_head`: it narrows with the width; else it never gets
    narrower than the paper's. `hidden_channels` of a linear layer after pooling, 0 for none (MobileNetV3's last stage), with
    `hidden_dropout` before it. `head_grid`: pooled are the maxima over head_grid x head_grid parts of the map, which still say
    where, in place of its mean (0).
    `squeeze_of`: what squeeze-and-excitation's ratio is of, the block's input channels or the widened ones (then in multiples
    of `channel_multiple`); `squeeze_activation` None takes the row's; `gate` is its last function.
    `norm_epsilon` 0: no batch norms, convolutions have a bias in their place (before norms were known).
    `padding` is "symmetric" (PyTorch's) or "same" (TensorFlow's: the odd pixel goes to the right and the bottom).
    `drop_path`: block i of n, counted from 0, is left out with probability drop_path * i / n in training (stochastic depth).
    `input_size` is the side in pixels that its authors made it for; other sizes work, and published weights tell their own.
    """

    name: str
    family: str
    stages: tuple[StageRow, ...]
    stem_channels: int
    head_channels: int
    activation: Activation
    padding: Padding
    norm_epsilon: float
    input_size: int
    dropout: float
    width: float = 1.0
    depth: float = 1.0
    fixed_ends: bool = False
    stem_kernel: int = 3
    stem_stride: int = 2
    stem_pool: bool = False
    stem_scales_from: float = 0.0
    round_limit: float = 0.9
    narrow_head: bool = False
    hidden_channels: int = 0
    squeeze_of: SqueezeOf = "input"
    squeeze_activation: Activation | None = None
    gate: Gate = "sigmoid"
    drop_path: float = 0.0
    channel_multiple: int = CHANNEL_MULTIPLE
    hidden_dropout: float = 0.0
    head_grid: int = 0

    def rounded(self, channels: float) -> int:
        """Channels times width, in a multiple of `channel_multiple`."""
        return round_channels(channels * self.width, self.round_limit, self.channel_multiple)

    def scaled_stem_channels(self) -> int:
        """Channels after the stem."""
        fixed = self.fixed_ends or self.width < self.stem_scales_from
        return self.stem_channels if fixed else self.rounded(self.stem_channels)

    def scaled_stages(self) -> tuple[StageRow, ...]:
        """The rows with channels and repeats as they are built."""
        last = len(self.stages) - 1
        return tuple(
            replace(
                row,
                channels=self.rounded(row.channels),
                repeats=row.repeats if self.fixed_ends and index in (0, last) else math.ceil(row.repeats * self.depth),
            )
            for index, row in enumerate(self.stages)
        )

    def scaled_head_channels(self) -> int:
        """Channels of the 1x1 convolution before pooling, 0 where there is none (MobileNetV2, section 6.1, for its width)."""
        if self.fixed_ends or self.head_channels == 0:
            return self.head_channels
        scaled = self.rounded(self.head_channels)
        return scaled if self.narrow_head else max(self.head_channels, scaled)

    def feature_channels(self) -> int:
        """Channels of the pooled features, which the classifier sees."""
        return self.hidden_channels or self.pooled_channels()

    def pooled_channels(self) -> int:
        """Numbers that pooling leaves: one a channel, or one a channel and part of the grid."""
        return (self.scaled_head_channels() or self.trunk_channels()[-1]) * max(1, self.head_grid**2)

    def expanded_channels(self, in_channels: int, row: StageRow) -> int:
        """Channels inside a block of `row` with that many coming in; of a pruned one its first block's (StageRow.of_block)."""
        if row.blocks:
            return row.blocks[0].inner
        if row.block == "basic" or (row.block == "fused" and row.expansion == 1):
            return row.channels
        if row.block == "bottleneck":
            return int(row.channels * row.expansion)
        return round_channels(in_channels * row.expansion) if row.expansion % 1 else in_channels * int(row.expansion)

    def squeezed_channels(self, in_channels: int, row: StageRow) -> int:
        """Channels that squeeze-and-excitation squeezes to, 0 where there is none; of a pruned row its first block's."""
        if row.blocks:
            return row.blocks[0].squeezed
        if not row.squeeze_ratio:
            return 0
        if self.squeeze_of == "expanded":
            wide = self.expanded_channels(in_channels, row) * row.squeeze_ratio
            return round_channels(wide, multiple=self.channel_multiple)
        return max(1, int(in_channels * row.squeeze_ratio))

    def drop_paths(self) -> tuple[tuple[float, ...], ...]:
        """Every block's probability of being left out in training, by stage: 0 for the first, rising linearly."""
        repeats = [row.repeats for row in self.scaled_stages()]
        starts = [sum(repeats[:stage]) for stage in range(len(repeats))]
        return tuple(
            tuple(self.drop_path * (start + block) / sum(repeats) for block in range(count))
            for start, count in zip(starts, repeats, strict=True)
        )

    def trunk_channels(self) -> tuple[int, ...]:
        """Channels of the trunk's output, indexed by the cut: entry 0 is the stem's, entry i that of i stages."""
        return (self.scaled_stem_channels(), *(row.channels for row in self.scaled_stages()))

    def trunk_strides(self) -> tuple[int, ...]:
        """Input pixels per trunk-output pixel, indexed by the cut."""
        strides = [self.stem_stride * (2 if self.stem_pool else 1)]
        for row in self.stages:
            strides.append(strides[-1] * row.stride)
        return tuple(strides)

    def stage_lines(self) -> tuple[StageLine, ...]:
        """The rows as they are built, for tables and drawings."""
        return tuple(
            StageLine(
                row.block, row.kernel, row.stride, row.expansion, row.channels, row.repeats, bool(row.squeeze_ratio)
            )
            for row in self.scaled_stages()
        )

    def check_size(self, height: int, width: int) -> None:
        """Convolutions take any size, odd ones too."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `from_dict` gives the same architecture back."""
        content = asdict(self)
        content["stages"] = [asdict(row) for row in self.stages]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Architecture":
        """Rebuild from `to_dict`'s data; fields that have a default may be left out.

        Raises UsageError that names a missing, unknown or wrong field, and the row it is in.
        """
        own = checked(cls, content, "the architecture")
        rows = own["stages"]
        if not isinstance(rows, (list, tuple)) or not rows or not all(isinstance(row, Mapping) for row in rows):
            raise UsageError("The architecture's 'stages' must be a list of rows, each a table of named fields.")
        return cls(
            **{**own, "stages": tuple(_stage(row, f"row {number} of stages") for number, row in enumerate(rows, 1))}
        )


def round_channels(channels: float, limit: float = 0.9, multiple: int = CHANNEL_MULTIPLE) -> int:
    """Round to the nearest multiple, up again where that would keep less than `limit` of them (MobileNet's rule)."""
    rounded = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < limit * channels else rounded


def has_shortcut(row: StageRow, in_channels: int, stride: int) -> bool:
    """Whether a residual block of `row` projects its input: where the shape changes, or did before it was pruned."""
    return not row.blocks[0].residual if row.blocks else stride != 1 or in_channels != row.channels


_CHOICES = (Padding, Activation, Gate, Block, SqueezeOf)
# Smallest and largest value of a number, where not every one makes sense.
_RANGES: dict[str, tuple[float, float]] = {
    "kernel": (1, 31),
    "stride": (1, 4),
    "expansion": (0.05, 64),
    "channels": (1, 65_536),
    "repeats": (1, 1000),
    "dilation": (1, 32),
    "squeeze_ratio": (0, 1),
    "stem_channels": (1, 65_536),
    "head_channels": (0, 65_536),
    "hidden_channels": (0, 65_536),
    "norm_epsilon": (0, 1),
    "input_size": (8, 4096),
    "dropout": (0, 0.95),
    "width": (0.01, 100),
    "depth": (0.01, 100),
    "stem_kernel": (1, 31),
    "stem_stride": (1, 4),
    "round_limit": (0, 1),
    "drop_path": (0, 0.95),
    "channel_multiple": (1, 64),
    "hidden_dropout": (0, 0.95),
    "head_grid": (0, 32),
}


def checked(
    kind: type[Any], content: Mapping[str, Any], where: str, ranges: Mapping[str, tuple[float, float]] = _RANGES
) -> dict[str, Any]:
    """`content` as keyword arguments of the dataclass `kind`, when no field is missing or unknown and each is of its type and in
    its range; fields of other types than numbers, texts, truths and choices are left to the caller. UsageError names the field.
    """
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise UsageError(f"In {where} the field {unknown[0]!r} is unknown. Known: {', '.join(known)}.")
    missing = [name for name, field in known.items() if field.default is MISSING and name not in content]
    if missing:
        raise UsageError(f"In {where} the field {missing[0]!r} is missing.")
    for name, value in content.items():
        expected = _expected(name, value, known[name].type, ranges)
        if expected is not None:
            raise UsageError(f"In {where} {name!r} is {value!r}, expected {expected}.")
    return dict(content)


def _stage(content: Mapping[str, Any], where: str) -> StageRow:
    row = StageRow(**{**checked(StageRow, content, where), "blocks": _block_widths(content, where)})
    if row.block in ("basic", "bottleneck"):
        for name, value, only in (("squeeze_ratio", row.squeeze_ratio, 0.0), ("residual", row.residual, True)):
            if value != only:
                raise UsageError(
                    f"In {where} {name!r} is {value!r}, expected {only!r}: a {row.block} block has no other."
                )
    return row


def _block_widths(content: Mapping[str, Any], where: str) -> tuple[BlockWidths, ...]:
    """What the row says of each of its blocks, a list in JSON."""
    blocks = content.get("blocks", ())
    if not isinstance(blocks, list | tuple) or len(blocks) not in (0, content["repeats"]):
        raise UsageError(f"In {where} 'blocks' is {blocks!r}, expected an entry for each of its blocks.")
    return tuple(
        BlockWidths(**checked(BlockWidths, block, f"block {number} of {where}")) for number, block in enumerate(blocks)
    )


def _expected(name: str, value: object, kind: Any, ranges: Mapping[str, tuple[float, float]]) -> str | None:
    """What the field should have held; None when `value` is right."""
    options = [option for option in get_args(kind) if option is not type(None)]
    if kind in _CHOICES or (options and options[0] in _CHOICES):
        names = get_args(kind) if kind in _CHOICES else get_args(options[0])
        fits = value in names or (value is None and kind not in _CHOICES)
        return None if fits else " or ".join(repr(option) for option in names)
    if kind not in (int, float, str, bool):
        return None  # the rows, which are checked one by one
    allowed = (int, float) if kind is float else kind  # a JSON reader may give 1 for 1.0
    if not isinstance(value, allowed) or isinstance(value, bool) != (kind is bool):
        return str(kind.__name__)
    low, high = ranges.get(name, (-math.inf, math.inf))
    if isinstance(value, (int, float)) and not low <= value <= high:
        return f"{low:g} to {high:g}"
    return "an odd number" if name.endswith("kernel") and isinstance(value, int) and value % 2 == 0 else None
