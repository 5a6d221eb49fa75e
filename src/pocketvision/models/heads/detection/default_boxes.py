"""The default boxes of SSD (Liu et al., 2016, https://arxiv.org/abs/1512.02325, section 2.2): at every place of every map some of
several shapes, larger ones on the deeper maps. Numpy only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Shape = tuple[float, float]
"""Width and height, as shares of the input's."""


@dataclass(frozen=True)
class DefaultBoxes:
    """shapes: of the boxes at a place, for each map, the shallowest first. steps: from one place of each map to the next, as a
    share of the input's side; none spreads them evenly over it."""

    shapes: tuple[tuple[Shape, ...], ...]
    steps: tuple[float, ...] = ()

    @property
    def counts(self) -> tuple[int, ...]:
        """How many boxes a place of each map has."""
        return tuple(len(each) for each in self.shapes)

    def boxes(self, maps: Sequence[tuple[int, int]], size: tuple[float, float]) -> NDArray[np.float32]:
        """(A, 4) centre x, centre y, width and height in the input's pixels: map by map, row by row, and at each place in the
        order of the shapes. maps: height and width of each. size: width and height of the input."""
        steps = self.steps or (None,) * len(maps)
        found = [_of_map(shapes, *grid, step) for shapes, grid, step in zip(self.shapes, maps, steps, strict=True)]
        boxes: NDArray[np.float64] = np.concatenate(found) * np.array([*size, *size], np.float64)
        return boxes.astype(np.float32)


def _of_map(shapes: Sequence[Shape], height: int, width: int, step: float | None) -> NDArray[np.float64]:
    """(height * width * shapes, 4) as shares of the input."""
    down, across = np.mgrid[:height, :width] + 0.5
    wide, high = (1 / step, 1 / step) if step else (width, height)
    centres = np.stack([across / wide, down / high], axis=-1).reshape(-1, 1, 2)
    sides = np.array(shapes, np.float64)[None]
    grid = (height * width, len(shapes), 2)
    return np.concatenate([np.broadcast_to(centres, grid), np.broadcast_to(sides, grid)], axis=2).reshape(-1, 4)


def scales(maps: int, smallest: float, largest: float) -> tuple[float, ...]:
    """Equation 4 of the paper: evenly from the smallest to the largest, and 1 for the map that would follow."""
    return (*(smallest + (largest - smallest) * place / (maps - 1) for place in range(maps)), 1.0)


def paper_boxes(
    ratios: Sequence[Sequence[float]], steps: Sequence[float], places: tuple[float, ...] = ()
) -> DefaultBoxes:
    """ratios: of width to height, for each map those above 1; each comes upright and lying. steps: the scale of each map and of
    the one that would follow. places: of DefaultBoxes' `steps`.

    A map has a square of its scale, one of the geometric mean of its scale and the next map's, and two boxes a ratio, all within
    the input: 4 with one ratio, 6 with two.
    """
    return DefaultBoxes(
        tuple(
            (_square(own), _square(math.sqrt(own * after)), *(shape for ratio in row for shape in _both(own, ratio)))
            for row, (own, after) in zip(ratios, pairwise(steps), strict=True)
        ),
        places,
    )


def tensorflow_boxes(maps: int, smallest: float, largest: float) -> DefaultBoxes:
    """As TensorFlow's Object Detection API lays them for MobileNets: six a place, the larger square last, but only three on the
    first map, of which the square has half the smallest scale's side. Not cut at the input's border. The upright box of a third
    is of 0.3333, as their configurations write it."""
    steps = scales(maps, smallest, largest)
    first = (_square(smallest / 2), *_both(smallest, 2.0, bound=math.inf))
    rest = (
        (
            _square(own),
            *_both(own, 2.0, bound=math.inf),
            _both(own, 3.0, bound=math.inf)[0],
            _both(own, 1 / 0.3333, bound=math.inf)[1],
            _square(math.sqrt(own * after)),
        )
        for own, after in pairwise(steps[1:])
    )
    return DefaultBoxes((first, *rest))


def _square(side: float) -> Shape:
    return side, side


def _both(scale: float, ratio: float, bound: float = 1.0) -> tuple[Shape, Shape]:
    """Lying and upright, of the area of the scale's square."""
    long, short = min(scale * math.sqrt(ratio), bound), min(scale / math.sqrt(ratio), bound)
    return (long, short), (short, long)


_RATIOS = ([2], [2, 3], [2, 3], [2, 3], [2], [2])

SSD = paper_boxes(_RATIOS, scales(6, 0.2, 0.9))
"""Section 2.2: six maps with 4, 6, 6, 6, 4 and 4 boxes a place."""

SSD300 = paper_boxes(
    _RATIOS, (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05), tuple(step / 300 for step in (8, 16, 32, 64, 100, 300))
)
"""As the authors lay them for COCO's smaller objects: 8,732 boxes at 300 px."""

SSD_LITE = paper_boxes([[2, 3]] * 6, scales(6, 0.2, 0.95))
"""Six boxes a place on six maps, as torchvision has them."""

TENSORFLOW = tensorflow_boxes(6, 0.2, 0.95)
"""With three on the first map, as MobileNets' authors have them: 1,917 boxes at 300 px."""
