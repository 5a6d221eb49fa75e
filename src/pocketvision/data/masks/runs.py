"""Masks of single objects as runs of pixels: COCO's, plain and compressed, CVAT's, and Label Studio's brushes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import MAX_PIXELS


def filled(counts: Sequence[int] | NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """(height, width) of runs row by row, the first of them outside. None where they do not fill `size` (width, height)."""
    lengths = np.asarray(counts, np.int64)
    width, height = size
    if not 0 < width * height <= MAX_PIXELS or (lengths < 0).any() or int(lengths.sum()) != width * height:
        return None
    marks = np.arange(len(lengths)) % 2 == 1
    return np.repeat(marks, lengths).reshape(height, width)


def coco_runs(segmentation: Any) -> NDArray[np.bool_] | None:
    """(height, width) of COCO's {"size": [height, width], "counts": numbers or a text}, column by column. None for what is
    none."""
    try:
        height, width = (int(side) for side in segmentation["size"])
        counts = segmentation["counts"]
        lengths = _unpacked(counts) if isinstance(counts, str) else [int(each) for each in counts]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    found = filled(lengths, (height, width))
    return None if found is None else found.T


def brush(packed: Any, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """(height, width) of Label Studio's brush, of a picture of `size` (width, height): bytes of a stream of bits that gives red,
    green, blue and opacity of each pixel (its package label-studio-converter, brush.py: how many bytes, 32 bits; bits of a byte
    less 1, 5 bits; of each of four lengths the bits less 1, 4 bits; then runs: whether one byte is repeated, which length's bits
    count it, the count less 1, and the byte or the bytes). None for what is none."""
    try:
        stream = np.unpackbits(np.asarray(packed, np.uint8)).tolist()
        count, place = _number(stream, 0, 32), 32
        if count != 4 * size[0] * size[1] or not 0 < size[0] * size[1] <= MAX_PIXELS:
            return None
        bits = _number(stream, place, 5) + 1
        lengths = [_number(stream, place + 5 + 4 * each, 4) + 1 for each in range(4)]
        place += 21
        found, done = np.empty(count, np.uint8), 0
        while done < count:
            repeated, wide = stream[place], lengths[_number(stream, place + 1, 2)]
            run = _number(stream, place + 3, wide) + 1
            place += 3 + wide
            values = 1 if repeated else run
            found[done : done + run] = [_number(stream, place + bits * each, bits) for each in range(values)]
            place, done = place + bits * values, done + run
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return found.reshape(size[1], size[0], 4)[..., 3] > 0


def _number(stream: Sequence[int], place: int, bits: int) -> int:
    """Of so many bits from a place on. Raises IndexError behind the end."""
    if place + bits > len(stream):
        raise IndexError(place)
    return int("".join(map(str, stream[place : place + bits])), 2)


def _unpacked(text: str) -> list[int]:
    """COCO's text of numbers: five bits a sign and one for "goes on"; from the fourth on, differences to the one before the last
    (cocoapi, maskApi.c, rleFrString). Raises IndexError for a text that is cut."""
    counts: list[int] = []
    place = 0
    while place < len(text):
        number, shift, goes_on = 0, 0, True
        while goes_on:
            sign = ord(text[place]) - 48
            number |= (sign & 0x1F) << shift
            goes_on = bool(sign & 0x20)
            place, shift = place + 1, shift + 5
            if not goes_on and sign & 0x10:
                number |= -1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
    return counts
