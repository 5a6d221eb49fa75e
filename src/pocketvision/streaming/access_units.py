"""Where a picture begins in a coded stream: what `--low-latency` rests on is looked at, not believed."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

_START_CODE = b"\0\0\1"
_CONFIGURATION = b"\1"
"""First byte of the parameters of a stream in FLV or MP4 (ISO/IEC 14496-15), where the container says where a picture ends."""


class Beginning(Enum):
    """What begins where a packet begins."""

    NOTHING = auto()
    PICTURE = auto()
    KEY_PICTURE = auto()


def beginning(codec: str, parameters: bytes, packet: bytes) -> Beginning:
    """What begins with a packet of H.264 or H.265. What stands before a picture, as parameters or a delimiter, counts to it.

    codec: FFmpeg's name. parameters: the stream's own ("extradata"). Of other codecs every packet is taken for a key picture.
    """
    units = _UNITS.get(codec)
    if units is None or parameters.startswith(_CONFIGURATION):
        return Beginning.KEY_PICTURE
    before, *found = packet.split(_START_CODE)
    found = [unit for unit in found if len(unit) > 1]
    if before.strip(b"\0") or not found or not units.begins(found[0]):
        return Beginning.NOTHING
    return (
        Beginning.KEY_PICTURE if any(units.kind(unit) in units.of_key_pictures for unit in found) else Beginning.PICTURE
    )


@dataclass(frozen=True)
class _Units:
    """How one codec's units (NAL units) are told apart.

    kind: of a unit, from its header. before: kinds that stand only before a picture. slices: kinds that hold a part of one.
    is_first: whether such a part is its picture's first. of_key_pictures: kinds that only come with key pictures.
    """

    kind: Callable[[bytes], int]
    before: frozenset[int]
    slices: frozenset[int]
    is_first: Callable[[bytes], bool]
    of_key_pictures: frozenset[int]

    def begins(self, unit: bytes) -> bool:
        kind = self.kind(unit)
        return kind in self.before or (kind in self.slices and self.is_first(unit))


_UNITS = {
    # ITU-T H.264, tables 7-1, 7.3.3 (the first macroblock's number is 0: one bit, set) and 7.4.1.2.3.
    "h264": _Units(
        kind=lambda unit: unit[0] & 0x1F,
        before=frozenset([*range(6, 10), *range(14, 19)]),
        slices=frozenset([1, 2, 5]),
        is_first=lambda unit: unit[1] >= 0x80,  # a delimiter has two bytes, a slice more
        of_key_pictures=frozenset([5, 7]),
    ),
    # ITU-T H.265, tables 7-1, 7.3.6.1 (the first bit of a slice) and 7.4.2.4.4.
    "hevc": _Units(
        kind=lambda unit: (unit[0] >> 1) & 0x3F,
        before=frozenset([*range(32, 36), 39, *range(41, 45), *range(48, 56)]),
        slices=frozenset(range(32)),
        is_first=lambda unit: unit[2:3] >= b"\x80",
        of_key_pictures=frozenset([*range(16, 22), 33]),
    ),
}
