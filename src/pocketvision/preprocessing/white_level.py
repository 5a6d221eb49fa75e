"""16-bit pixels to 8 bits: which value is white.

Cameras of science and medicine store 10, 12 or 14 bits in 16, so that white is 1023, 4095 or 16383 and not 65535. Which it is
can not be told from one dark picture. So it is one number for a whole data set, which its bundle keeps as
Preprocessing.white_level.
"""

import numpy as np
from numpy.typing import NDArray

FULL_RANGE = 65535
"""White where nothing else is known: the file formats' own."""

WHITE_LEVELS = (255, 1023, 4095, 16383, FULL_RANGE)
"""Values that become white: the largest of 8, 10, 12, 14 and 16 bits."""


def white_level_of(largest: int) -> int:
    """The lowest white level that holds `largest`, a value of 16 bits."""
    return next(level for level in WHITE_LEVELS if largest <= level)


def to_eight_bits(values: NDArray[np.unsignedinteger], white: int) -> NDArray[np.uint8]:
    """0...white scaled to 0...255, rounded; what is brighter is white. Any shape."""
    limited = np.minimum(values, white).astype(np.uint32)
    scaled: NDArray[np.uint8] = ((limited * 255 + white // 2) // white).astype(np.uint8)
    return scaled
