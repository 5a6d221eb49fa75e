"""The anchors of EfficientDet: at every place of every level nine boxes, of three sizes and three shapes (Tan, Pang & Le, 2020,
and its authors' code, whose ratios these are); and those of torchvision's detectors, which lie at other places. Numpy only."""

import math
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


SIDE = 4
"""Of torchvision's smallest square anchor, in strides of its level: 32 pixels on P3."""

TALL = (0.5, 1.0, 2.0)
"""Height as a share of the width, of torchvision's anchors."""


def rounded_anchors(
    maps: Sequence[tuple[int, int]], strides: Sequence[int], sides: Sequence[Sequence[int]] | None = None
) -> NDArray[np.float32]:
    """(A, 4) as `anchors`, as torchvision lays them: around the upper left corner of each place, shape by shape, the smallest
    first, with corners at whole pixels from there. strides: as declared. sides: of the squares of each level, in pixels; None
    takes RetinaNet's, which go by the strides."""
    if sides is None:
        sides = [[int(SIDE * stride * octave) for octave in OCTAVES] for stride in strides]
    found = []
    for corners, own_sides in zip(_corners(maps, strides), sides, strict=True):
        shapes = [(side / math.sqrt(ratio), side * math.sqrt(ratio)) for ratio in TALL for side in own_sides]
        own = 2 * np.round(np.array(shapes, np.float32) / 2)
        grid = (len(corners), len(shapes), 2)
        boxes = [np.broadcast_to(corners[:, None], grid), np.broadcast_to(own, grid)]
        found.append(np.concatenate(boxes, axis=2).reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)


def corners_of_places(maps: Sequence[tuple[int, int]], strides: Sequence[int]) -> NDArray[np.float32]:
    """(1, A, 3) the upper left corner of each place, x and y, and the stride of its level, in the input's pixels."""
    found = [
        np.concatenate([corners, np.full((len(corners), 1), stride)], axis=1)
        for corners, stride in zip(_corners(maps, strides), strides, strict=True)
    ]
    return np.concatenate(found).astype(np.float32)[None]


def _corners(maps: Sequence[tuple[int, int]], strides: Sequence[int]) -> list[NDArray[np.float64]]:
    """(places, 2) of each level, x and y. Where a map has a place more than the input has strides, as P6 of 13 x 13 places at 800
    px, torchvision lays them nearer each other: whole pixels apart, as many as fit."""
    covered = maps[0][0] * strides[0], maps[0][1] * strides[0]
    found = []
    for height, width in maps:
        down, across = np.mgrid[:height, :width].astype(np.float64)
        corners = [across * (covered[1] // width), down * (covered[0] // height)]
        found.append(np.stack(corners, axis=-1).reshape(-1, 2))
    return found
