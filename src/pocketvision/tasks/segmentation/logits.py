"""A network's logits in the pixels of the image, band by band: a large image's are never all in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement

Floats = NDArray[np.float32]

_AT_ONCE = 1_500_000
"""Logits of a band."""

_FAR = 1e4
"""Stands for what is not finite."""


@dataclass(frozen=True, eq=False)
class Logits:
    """values: (classes, h, w), of an input at any stride. placement: where the image lies in that input, not turned.

    A logit stands for the middle of its cell. Between them it is interpolated (bilinear), and beyond the outermost kept, as
    torch's interpolation without aligned corners does it.
    """

    values: Floats
    placement: Placement

    def __post_init__(self) -> None:
        matrix = self.placement.matrix
        if self.values.ndim != 3 or matrix[0, 1] or matrix[1, 0]:
            raise ValueError(f"logits of shape {self.values.shape} through {matrix.tolist()}; expected no rotation")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        return self.placement.image_size

    @cached_property
    def seen(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(height) rows and (width) columns of the image that the input shows."""
        down, across = (
            (places >= 0) & (places < side)
            for places, side in zip(self._places(), self.placement.input_size[::-1], strict=True)
        )
        return down, across

    def bands(self) -> Iterator[tuple[slice, Floats]]:
        """Rows of the image, from the top, and their logits (classes, rows, width)."""
        classes, _, width = self.values.shape
        values, (down, across) = self._finite(), self._between()
        rows = max(1, _AT_ONCE // (classes * max(len(across.first), width)))
        for start in range(0, len(down.first), rows):
            part = slice(start, min(start + rows, len(down.first)))
            upper, lower = values[:, down.first[part]], values[:, down.second[part]]
            band = mixed(upper, lower, down.share[part, None])
            yield part, mixed(band[:, :, across.first], band[:, :, across.second], across.share)

    def classes(self, offsets: Floats) -> NDArray[np.uint8]:
        """(height, width) where along the classes logits and offsets (classes) together are largest.

        Between four cells that say the same nothing else is said: only the others are interpolated. Of two classes the difference
        alone is, everywhere.
        """
        values, (down, across) = self._finite() + offsets[:, None, None], self._between()
        if len(values) == 2:
            return _positive(values[1] - values[0], down, across)
        coarse = largest(values)[0]
        if not (down.share.any() or across.share.any()):
            return coarse[down.first][:, across.first]
        right = np.minimum(np.arange(coarse.shape[1]) + 1, coarse.shape[1] - 1)
        below = np.minimum(np.arange(coarse.shape[0]) + 1, coarse.shape[0] - 1)
        unlike = (coarse != coarse[:, right]) | (coarse != coarse[below]) | (coarse != coarse[below][:, right])
        found: NDArray[np.uint8] = coarse[down.first][:, across.first]
        flat, width = values.reshape(len(values), -1), coarse.shape[1]
        corners = max(1, _AT_ONCE // (4 * len(values)))  # pixels at once, of four cells each
        step = max(1, _AT_ONCE // 4 // max(len(across.first), 1))
        for start in range(0, len(down.first), step):
            part = slice(start, start + step)
            rows, columns = np.nonzero(unlike[down.first[part]][:, across.first])
            for chunk in range(0, len(rows), corners):
                y, x = (each[chunk : chunk + corners] for each in (rows + start, columns))
                upper, lower, left, behind = down.first[y], down.second[y], across.first[x], across.second[x]
                one, other = (
                    mixed(flat[:, upper * width + at], flat[:, lower * width + at], down.share[y])
                    for at in (left, behind)
                )
                found[y, x] = largest(mixed(one, other, across.share[x]))[0]
        return found

    def _finite(self) -> Floats:
        return np.nan_to_num(self.values.astype(np.float32, copy=False), nan=-_FAR, posinf=_FAR, neginf=-_FAR)

    def _between(self) -> tuple["Cells", "Cells"]:
        """Of the image's rows and of its columns."""
        _, height, width = self.values.shape
        down, across = self._places()
        input_width, input_height = self.placement.input_size
        return cells_between(down * (height / input_height), height), cells_between(
            across * (width / input_width), width
        )

    def _places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(height) and (width): where the rows and columns of the image have their middles in the input."""
        matrix, (width, height) = self.placement.matrix, self.size
        down = (np.arange(height) + 0.5) * matrix[1, 1] + matrix[1, 2]
        across = (np.arange(width) + 0.5) * matrix[0, 0] + matrix[0, 2]
        return down, across


@dataclass(frozen=True, eq=False)
class Cells:
    """The two cells that each of n places lies between, and how far it is on the way to the second, in [0, 1]."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    share: Floats


def cells_between(places: NDArray[np.float64], count: int) -> Cells:
    """Of places in [0, count], a cell being 1 wide and standing for its middle."""
    middles = np.clip(places - 0.5, 0, count - 1)
    first = middles.astype(np.int64)
    return Cells(first, np.minimum(first + 1, count - 1), (middles - first).astype(np.float32))


def _positive(values: Floats, down: Cells, across: Cells) -> NDArray[np.uint8]:
    """Where values (h, w) are above 0 in the image, as 1."""
    found = np.empty((len(down.first), len(across.first)), np.uint8)
    step = max(1, _AT_ONCE // max(found.shape[1], 1))
    for start in range(0, len(found), step):
        part = slice(start, start + step)
        band = values[down.first[part]]
        if down.share[part].any():
            band = mixed(band, values[down.second[part]], down.share[part, None])
        if across.share.any():
            band = mixed(band.take(across.first, axis=1), band.take(across.second, axis=1), across.share)
        else:
            band = band.take(across.first, axis=1)
        np.greater(band, 0, out=found[part].view(np.bool_))
    return found


def mixed(one: Floats, other: Floats, share: Floats) -> Floats:
    """So far from one to the other, whose memory is used."""
    other -= one
    other *= share
    other += one
    return other


def certainty(logits: Floats) -> float:
    """The largest probability of logits (classes, h, w), on average, in [0, 1]."""
    apart = logits - logits.max(axis=0)
    return float(np.reciprocal(np.exp(apart, out=apart).sum(axis=0)).mean(dtype=np.float64))


def softmax(logits: Floats) -> Floats:
    """(classes, …) of logits (classes, …)."""
    chances: Floats = np.exp(logits - logits.max(axis=0))
    chances /= chances.sum(axis=0)
    return chances


def largest(logits: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Where along the first axis the largest is, the first of equal ones, and how large it is."""
    best, places = logits[0].copy(), np.zeros(logits.shape[1:], np.uint8)
    for place in range(1, len(logits)):
        places[logits[place] > best] = place
        np.maximum(best, logits[place], out=best)
    return places, best
