"""From boxes as they are drawn to the pixels of upright pictures, whose sizes and turns are known from their headers.

Tools draw on the picture as they show it: upright or as it is stored, whole or made smaller, in pixels or in shares of a side.
What a file says about that is often wrong, so what fits inside decides first, then what the file says, then what the other
pictures of the set turned out to be.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

SLACK = 1.0
"""Pixels that a box may reach over a border by rounding."""

SAME_SHAPE = 0.01
"""How far the ratios of sides of one picture in two sizes may be apart, as a share."""

PIXELS, SHARES = "pixels", "shares"

_SIDEWAYS, _FROM_RIGHT, _FROM_BOTTOM = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)


@dataclass(frozen=True, eq=False)
class Upright:
    """boxes: (m, 4) in pixels of the upright pictures, corners in order, not cut yet. sizes: (n, 2) of those, 0 where not known.
    scales: (n, 2) from what was drawn to pixels, before a turn. Further (n) what was found of the pictures, and (m) of the
    boxes."""

    boxes: Floats
    sizes: NDArray[np.int64]
    scales: Floats
    turned: Marks
    unsure: Marks
    resized: Marks
    other_unit: Marks
    reversed: Marks


def upright_boxes(
    drawn: Floats, images: NDArray[np.int64], said: NDArray[np.int64], stored: NDArray[np.int64], unit: str
) -> Upright:
    """drawn: (m, 4) left, top, right, bottom in `unit`, in any order of corners. images: (m) which of n pictures each is on.
    said: (n, 2) width and height in the file, 0 where it says none. stored: (n, 3) width, height and orientation of the
    pictures."""
    boxes = np.concatenate([np.minimum(drawn[:, :2], drawn[:, 2:]), np.maximum(drawn[:, :2], drawn[:, 2:])], axis=1)
    orientation = stored[:, 2]
    sideways = np.isin(orientation, _SIDEWAYS)
    known = np.asarray((stored[:, :2] > 0).all(axis=1), np.bool_)
    flat = np.where(known[:, None], stored[:, :2], said).astype(np.int64)
    size = np.where((sideways & known)[:, None], flat[:, ::-1], flat)
    extent = _extent(boxes, images, len(said))
    other_unit = np.asarray((extent > 0).any(axis=1) & _other_unit(extent, size, unit), np.bool_)
    in_shares: Marks = other_unit if unit == PIXELS else np.asarray(~other_unit, np.bool_)
    on_stored, unsure = _drawn_on_stored(extent, said, flat, size, orientation, in_shares)
    own = np.where(on_stored[:, None], flat, size)
    resized = (said > 0).all(axis=1) & known & (said != own).any(axis=1)
    scaled = resized & ~in_shares & _scale(extent, said, own)
    scales = np.where(scaled[:, None], own / np.maximum(said, 1), np.where(in_shares[:, None], own, 1.0))
    boxes = _turned(boxes * np.tile(scales, 2)[images], orientation[images], flat[images], on_stored[images])
    turned_round = np.asarray((drawn[:, :2] > drawn[:, 2:]).any(axis=1), np.bool_)
    return Upright(boxes, size, scales, on_stored, unsure, resized, other_unit, turned_round)


def _extent(boxes: Floats, images: NDArray[np.int64], count: int) -> Floats:
    """(n, 2) the farthest right and lowest edge of each picture's boxes, 0 where it has none."""
    extent = np.zeros((count, 2))
    np.maximum.at(extent, images, boxes[:, 2:])
    return extent


def _other_unit(extent: Floats, size: NDArray[np.int64], unit: str) -> Marks:
    """(n) whether the boxes can not be in `unit`: all within the first pixel, or at twice the side and more."""
    if unit == PIXELS:
        return np.asarray((extent <= 1).all(axis=1) & (size > 4).all(axis=1), np.bool_)
    return np.asarray((extent > 2).any(axis=1), np.bool_)


def _drawn_on_stored(
    extent: Floats,
    said: NDArray[np.int64],
    stored: NDArray[np.int64],
    upright: NDArray[np.int64],
    orientation: NDArray[np.int64],
    in_shares: Marks,
) -> tuple[Marks, Marks]:
    """(n) whether boxes were drawn on the picture as it is stored, and whether that can not be told of a turned one."""
    fits_stored = (extent <= stored + SLACK).all(axis=1) | in_shares
    fits_upright = (extent <= upright + SLACK).all(axis=1) | in_shares
    like_stored, like_upright = _same_shape(said, stored), _same_shape(said, upright)
    # In shares of a size that is said, the size decides; else what fits.
    votes = np.where(
        fits_stored == fits_upright, like_stored.astype(int) - like_upright, fits_stored.astype(int) - fits_upright
    )
    asked = (orientation > 1) & (extent > 0).any(axis=1)
    votes = np.where(asked, votes, 0)
    majority = int(np.sign(votes.sum()))
    open_ones = asked & (votes == 0)
    on_stored = np.asarray((votes > 0) | (open_ones & (majority > 0)), np.bool_)
    return on_stored, np.asarray(open_ones & (majority == 0), np.bool_)


def _same_shape(one: NDArray[np.int64], other: NDArray[np.int64]) -> Marks:
    """(n) whether two sizes (n, 2) have the same ratio of sides; not where one is 0."""
    crossed, back = one[:, 0] * other[:, 1], one[:, 1] * other[:, 0]
    near = np.abs(crossed - back) <= SAME_SHAPE * np.maximum(crossed, back)
    return np.asarray(near & (crossed > 0) & (back > 0), np.bool_)


def _scale(extent: Floats, said: NDArray[np.int64], own: NDArray[np.int64]) -> Marks:
    """(n) whether boxes of a picture of another size than is said are to be scaled to it: where they fit the said size, and
    either not the picture's own or the two are of one shape."""
    fits_said, fits_own = (extent <= said + SLACK).all(axis=1), (extent <= own + SLACK).all(axis=1)
    return np.asarray(fits_said & (~fits_own | _same_shape(said, own)), np.bool_)


def _turned(boxes: Floats, orientation: NDArray[np.int64], stored: NDArray[np.int64], on_stored: Marks) -> Floats:
    """Boxes of stored pictures, (m, 2) large, as EXIF's orientation turns them; the others as they are."""
    width, height = stored[:, 0].astype(np.float64), stored[:, 1].astype(np.float64)
    left, top, right, bottom = boxes.T
    sideways = on_stored & np.isin(orientation, _SIDEWAYS)
    across = np.where(sideways[:, None], np.stack([top, bottom], axis=1), np.stack([left, right], axis=1))
    down = np.where(sideways[:, None], np.stack([left, right], axis=1), np.stack([top, bottom], axis=1))
    across_side, down_side = np.where(sideways, height, width), np.where(sideways, width, height)
    from_right = on_stored & np.isin(orientation, _FROM_RIGHT)
    from_bottom = on_stored & np.isin(orientation, _FROM_BOTTOM)
    across = np.where(from_right[:, None], (across_side[:, None] - across)[:, ::-1], across)
    down = np.where(from_bottom[:, None], (down_side[:, None] - down)[:, ::-1], down)
    return np.stack([across[:, 0], down[:, 0], across[:, 1], down[:, 1]], axis=1)


@dataclass(frozen=True, eq=False)
class Cut:
    """boxes: (m, 4) cut at the border. (m) each: without area, outside as a whole, and reaching over the border."""

    boxes: Floats
    no_area: Marks
    outside: Marks
    beyond: Marks

    @property
    def kept(self) -> Marks:
        """(m) what is a box of the picture."""
        return ~(self.no_area | self.outside)


LEAST_SIDE = 0.01
"""Pixels, below which a box has no area."""


def cut_boxes(boxes: Floats, sizes: NDArray[np.int64]) -> Cut:
    """boxes: (m, 4) with corners in order. sizes: (m, 2) of their pictures; where one is 0 nothing is cut."""
    far = np.where(sizes > 0, sizes, np.inf).astype(np.float64)
    limits = np.concatenate([far, far], axis=1)
    no_area = (boxes[:, 2:] - boxes[:, :2] < LEAST_SIDE).any(axis=1)
    cut = np.clip(boxes, 0, limits)
    outside = ~no_area & (cut[:, 2:] - cut[:, :2] < LEAST_SIDE).any(axis=1)
    beyond = ~no_area & ~outside & ((boxes < -SLACK) | (boxes > limits + SLACK)).any(axis=1)
    return Cut(cut, *(np.asarray(marks, np.bool_) for marks in (no_area, outside, beyond)))


def repeated(boxes: Floats, keys: NDArray[np.int64]) -> Marks:
    """(m) whether a box is there before, with the same key and the same corners to a thousandth of a pixel."""
    if not len(boxes):
        return np.zeros(0, np.bool_)
    rows = np.concatenate([keys[:, None], np.rint(boxes * 1000).astype(np.int64)], axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    again = np.ones(len(boxes), np.bool_)
    again[first] = False
    return again
