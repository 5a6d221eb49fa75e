"""Outlines as pixels: a pixel belongs to a shape where its middle lies inside."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def fill(mask: NDArray[np.uint8], rings: Sequence[NDArray[np.floating]], value: int) -> None:
    """Write `value` where the middle of a pixel of mask (h, w) lies inside an odd number of the rings' windings. rings: (k, 2)
    x and y of corners each, k >= 3, closed by themselves."""
    starts = np.concatenate(rings).astype(np.float64)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).astype(np.float64)
    height, width = mask.shape
    low, high = np.floor(starts.min(axis=0)), np.ceil(starts.max(axis=0))
    left, top = (int(np.clip(low[axis], 0, side)) for axis, side in enumerate((width, height)))
    right, bottom = (int(np.clip(high[axis], 0, side)) for axis, side in enumerate((width, height)))
    if right <= left or bottom <= top:
        return
    rows, columns = _crossings(starts, ends, top, bottom)
    turns = np.zeros((bottom - top, right - left + 1), np.int32)
    np.add.at(turns, (rows, np.clip(columns - left, 0, right - left)), 1)
    inside = np.cumsum(turns[:, :-1], axis=1) % 2 == 1
    mask[top:bottom, left:right][inside] = value


def _crossings(
    starts: NDArray[np.float64], ends: NDArray[np.float64], top: int, bottom: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where edges cross the middles of rows: the row, counted from `top`, and the first column whose middle is not left of it."""
    upper, lower = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    first = np.clip(np.ceil(upper - 0.5), top, bottom).astype(np.int64)
    last = np.clip(np.ceil(lower - 0.5), top, bottom).astype(np.int64)
    counts = np.maximum(last - first, 0)
    edges = np.repeat(np.arange(len(starts)), counts)
    rows = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
    (x0, y0), (x1, y1) = starts[edges].T, ends[edges].T
    across = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    return rows - top, np.ceil(across - 0.5).astype(np.int64)
