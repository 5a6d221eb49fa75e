"""The anchors of EfficientDet: at every place of every level nine boxes, of three sizes and three shapes (Tan, Pang & Le, 2020,
and its authors' code, whose ratios these are). Numpy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
"""Sizes at a place, between its level's and the next one's."""

RATIOS = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
"""Width and height of each shape, as shares of the size."""

PER_PLACE = len(OCTAVES) * len(RATIOS)


def anchors(maps: Sequence[tuple[int, int]], strides: Sequence[int], scale: float) -> NDArray[np.float32]:
    """(A, 4) centre x, centre y, width and height in the input's pixels: level by level, row by row, the smallest at each place
    first. maps: height and width of each level. scale: side of the smallest square in strides of its level."""
    shapes = scale * np.array([(octave * width, octave * height) for octave in OCTAVES for width, height in RATIOS])
    found = []
    for (height, width), stride in zip(maps, strides, strict=True):
        down, across = np.mgrid[:height, :width] + 0.5
        centres = np.stack([across, down], axis=-1).reshape(-1, 1, 2)
        grid = (height * width, PER_PLACE, 2)
        boxes = np.concatenate([np.broadcast_to(centres, grid), np.broadcast_to(shapes, grid)], axis=2) * stride
        found.append(boxes.reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)
