"""Regions of a mask as polygons along the edges of their pixels, and the way back."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]


def outlines_of(marks: NDArray[np.bool_]) -> Iterator[list[Corner]]:
    """Closed lines around the marked pixels of (h, w): x and y of corners, straight pieces joined, the outer ones clockwise as
    one sees them, holes the other way. Filled by the rule that a pixel belongs where its middle lies, an odd number of times,
    they give the same pixels."""
    padded = np.pad(marks, 1)
    upper = padded[1:, 1:-1] & ~padded[:-1, 1:-1]  # (h + 1, w): an edge above a marked pixel, to the right
    lower = padded[:-1, 1:-1] & ~padded[1:, 1:-1]  # below one, to the left
    left = padded[1:-1, 1:] & ~padded[1:-1, :-1]  # (h, w + 1): left of one, upwards
    right = padded[1:-1, :-1] & ~padded[1:-1, 1:]  # right of one, downwards
    ways: dict[Corner, list[Corner]] = {}
    for edges, start, step in (
        (upper, (0, 0), (1, 0)),
        (lower, (1, 0), (-1, 0)),
        (left, (0, 1), (0, -1)),
        (right, (0, 0), (0, 1)),
    ):
        rows, columns = np.nonzero(edges)
        for y, x in zip(rows.tolist(), columns.tolist(), strict=True):
            corner = (x + start[0], y + start[1])
            ways.setdefault(corner, []).append((corner[0] + step[0], corner[1] + step[1]))
    while ways:
        yield _walked(ways)


def filled(rings: Sequence[Sequence[Corner]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) the pixels that lie within an odd number of closed lines along the edges of pixels. Raises ValueError for lines that
    do not follow those, or leave the mask."""
    crossed = np.zeros((shape[0], shape[1] + 1), np.bool_)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            if (x0 != x1 and y0 != y1) or not (0 <= x0 <= shape[1] and 0 <= y0 <= shape[0]):
                raise ValueError(f"a line from {(x0, y0)} to {(x1, y1)} in a mask of {shape}")
            if x0 == x1:
                crossed[min(y0, y1) : max(y0, y1), x0] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)[:, :-1]


def _walked(ways: dict[Corner, list[Corner]]) -> list[Corner]:
    """One closed line, taken out of what is left. Where two meet, it turns to the right: pixels that touch at a corner stay
    apart."""
    first = next(iter(ways))
    here, before, line = first, first, [first]
    while True:
        following = ways[here]
        chosen = following[0] if len(following) == 1 else max(following, key=lambda each: _turn(before, here, each))
        following.remove(chosen)
        if not following:
            del ways[here]
        before, here = here, chosen
        if here == first:
            return _joined(line)
        line.append(here)


def _turn(before: Corner, here: Corner, following: Corner) -> int:
    """Above 0 for a turn to the right, as y goes down."""
    (x0, y0), (x1, y1), (x2, y2) = before, here, following
    return (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)


def _joined(line: list[Corner]) -> list[Corner]:
    """Without corners in the middle of straight pieces."""
    around = zip(line[-1:] + line[:-1], line, line[1:] + line[:1], strict=True)
    return [here for before, here, following in around if _turn(before, here, following)]
