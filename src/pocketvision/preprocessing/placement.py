"""How an image became an input, as a matrix, so that truth can go in and answers come back in the image's own pixels.

Coordinates are continuous: x to the right, y down, 0 at the outer edge of the first pixel, so that pixel i covers i to i + 1 and
has its centre at i + 0.5, in the image as in the input.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(n, 2): x and y."""

Boxes = NDArray[np.float64]
"""(n, 4): left, top, right, bottom."""

# EXIF orientations that bring a far edge of the stored picture to the left, or to the top.
_FROM_RIGHT, _FROM_BOTTOM = (2, 3, 6, 7), (3, 4, 7, 8)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where an image lies in what was made of it.

    image_size: width and height in pixels of the original upright image, before any reduced JPEG decoding. matrix: (3, 3), affine
    and invertible, from that image's pixels to the input's, the reduction included. input_size: the input's width and height.

    Nothing is clipped: what lies beyond the input, or beyond the image, has coordinates there. A mask comes back by looking up,
    for each pixel centre of the image, what is at `to_input` of it, and goes in by `to_image` of the input's pixel centres.
    """

    image_size: tuple[int, int]
    matrix: NDArray[np.float64]
    input_size: tuple[int, int]

    def __post_init__(self) -> None:
        if np.shape(self.matrix) == (3, 3):
            (*across, left), (*down, top), last = self.matrix.tolist()
            way_back = across[0] * down[1] - across[1] * down[0]
            if last == [0, 0, 1] and way_back and math.isfinite(way_back + left + top):
                return
        raise ValueError(f"matrix is {self.matrix}; expected (3, 3), finite and invertible, the last row 0, 0, 1")

    @classmethod
    def of_decoding(cls, image_size: tuple[int, int], reduction: int = 1, orientation: int = 1) -> "Placement":
        """From an upright image of `image_size` (width, height) to its pixels as decoded at 1 / `reduction` of the size.

        A decoder's pixel covers `reduction` x `reduction` of the stored picture's, and the last row and column are partly empty
        where a side is no multiple. So the scale is 1 / reduction, not the ratio of the sizes, and an EXIF `orientation` (1 to 8)
        that turns the stored picture's far edge to the left or top moves the image by the empty part.
        """
        matrix, size = np.eye(3), [0, 0]
        for axis, turned in enumerate((_FROM_RIGHT, _FROM_BOTTOM)):
            exact = image_size[axis] / reduction
            size[axis] = math.ceil(exact)
            matrix[axis, axis] = 1 / reduction
            matrix[axis, 2] = size[axis] - exact if orientation in turned else 0.0
        return cls(image_size, matrix, (size[0], size[1]))

    def then(self, matrix: NDArray[np.float64], size: tuple[int, int]) -> "Placement":
        """The placement after a further step: a flip, a part, a view. matrix: (3, 3), from the input's pixels to those of what is
        made of it, which is `size` (width, height)."""
        return Placement(self.image_size, matrix @ self.matrix, size)

    def to_input(self, points: Points) -> Points:
        """Points (n, 2) of the image, in the input's pixels."""
        return _through(self.matrix, points)

    def to_image(self, points: Points) -> Points:
        """Points (n, 2) of the input, in the image's pixels."""
        return _through(self._back(), points)

    def boxes_to_input(self, boxes: Boxes) -> Boxes:
        """The smallest upright boxes (n, 4) around the image's boxes, in the input's pixels."""
        return _hulls(self.matrix, boxes)

    def boxes_to_image(self, boxes: Boxes) -> Boxes:
        """The smallest upright boxes (n, 4) around the input's boxes, in the image's pixels."""
        return _hulls(self._back(), boxes)

    def _back(self) -> NDArray[np.float64]:
        return np.linalg.inv(self.matrix).astype(np.float64)


def _through(matrix: NDArray[np.float64], points: Points) -> Points:
    points = np.asarray(points, np.float64).reshape(-1, 2)
    moved: Points = points @ matrix[:2, :2].T + matrix[:2, 2]
    return moved


def _hulls(matrix: NDArray[np.float64], boxes: Boxes) -> Boxes:
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    corners = _through(matrix, boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]).reshape(-1, 4, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
