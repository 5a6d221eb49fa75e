"""Masks of single objects as runs of pixels: COCO's, plain and compressed, and CVAT's."""

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
