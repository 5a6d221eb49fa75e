"""What an architecture is: its paper's table as frozen rows, and the arithmetic that scales it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

from pocketvision.errors import UsageError

Padding = Literal["symmetric", "same"]
Activation = Literal["relu6", "silu"]

CHANNEL_MULTIPLE = 8


@dataclass(frozen=True)
class StageRow:
    """One line of a paper's table: `repeats` inverted-residual blocks, of which only the first has the stride.

    `expansion` widens a block's input before its depthwise convolution (1: no widening convolution at all).
    `squeeze_ratio` is the squeeze-and-excitation's width as a share of the block's input channels; 0 means none.
    """

    kernel: int
    stride: int
    expansion: int
    channels: int
    repeats: int
    squeeze_ratio: float = 0.0


@dataclass(frozen=True)
class Architecture:
    """A network as data. `stages`, `stem_channels` and `head_channels` are the paper's, before scaling.

    `width` and `depth` multiply channels and repeats (EfficientNet's compound scaling; MobileNet's alpha is a width).
    `fixed_ends` leaves the stem, the head and the first and last stage's repeats unscaled (EfficientNet-Lite).
    `padding` is "symmetric" (PyTorch's) or "same" (TensorFlow's: the odd pixel goes to the right and the bottom).
    `input_size` is the side in pixels at which the published accuracy was measured; other sizes work.
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

    def scaled_stem_channels(self) -> int:
        """Channels after the stem."""
        return self.stem_channels if self.fixed_ends else round_channels(self.stem_channels * self.width)

    def scaled_stages(self) -> tuple[StageRow, ...]:
        """The rows with channels and repeats as they are built."""
        last = len(self.stages) - 1
        return tuple(
            replace(
                row,
                channels=round_channels(row.channels * self.width),
                repeats=row.repeats if self.fixed_ends and index in (0, last) else math.ceil(row.repeats * self.depth),
            )
            for index, row in enumerate(self.stages)
        )

    def scaled_head_channels(self) -> int:
        """Channels of the pooled features. The head never gets narrower than the paper's (MobileNetV2, section 6.1)."""
        return self.head_channels if self.fixed_ends else round_channels(self.head_channels * max(1.0, self.width))

    def trunk_channels(self) -> tuple[int, ...]:
        """Channels of the trunk's output, indexed by the cut: entry 0 is the stem's, entry i that of i stages."""
        return (self.scaled_stem_channels(), *(row.channels for row in self.scaled_stages()))

    def trunk_strides(self) -> tuple[int, ...]:
        """Input pixels per trunk-output pixel, indexed by the cut."""
        strides = [2]
        for row in self.stages:
            strides.append(strides[-1] * row.stride)
        return tuple(strides)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `from_dict` gives the same architecture back."""
        content = asdict(self)
        content["stages"] = [asdict(row) for row in self.stages]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Architecture":
        """Rebuild from `to_dict`'s data. Raises UsageError that names a missing, unknown or wrong field."""
        checked = _checked(cls, content)
        rows = checked["stages"]
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
            raise UsageError("Architecture: 'stages' must be a list of rows, each a table of named fields.")
        checked["stages"] = tuple(_row(StageRow, row) for row in rows)
        return _row(cls, checked)


def round_channels(channels: float) -> int:
    """Round to the nearest multiple of 8, up again where that would lose more than a tenth (MobileNet's rule)."""
    rounded = max(CHANNEL_MULTIPLE, int(channels + CHANNEL_MULTIPLE / 2) // CHANNEL_MULTIPLE * CHANNEL_MULTIPLE)
    return rounded + CHANNEL_MULTIPLE if rounded < 0.9 * channels else rounded


Row = TypeVar("Row", StageRow, Architecture)


def _row(kind: type[Row], content: Mapping[str, Any]) -> Row:
    return kind(**_checked(kind, content))


def _checked(kind: type[StageRow] | type[Architecture], content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` as keyword arguments of `kind`, when every field is there and of its type."""
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise UsageError(f"{kind.__name__}: unknown field {unknown[0]!r}. Known: {', '.join(known)}.")
    missing = sorted(set(known) - set(content))
    if missing:
        raise UsageError(f"{kind.__name__}: field {missing[0]!r} is missing.")
    for name, value in content.items():
        if not _is_of(value, known[name].type):
            raise UsageError(f"{kind.__name__}: {name!r} is {value!r}, expected {_type_name(known[name].type)}.")
    return dict(content)


def _is_of(value: object, kind: Any) -> bool:
    if kind in (Padding, Activation):
        return value in get_args(kind)
    if isinstance(value, bool):
        return kind is bool
    if kind is float:  # A JSON reader may give 1 for 1.0.
        return isinstance(value, (int, float))
    return not isinstance(kind, type) or isinstance(value, kind)


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else " or ".join(repr(value) for value in get_args(kind))
