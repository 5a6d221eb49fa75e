"""From the logits of an image's tiles to one mask, band by band: no array holds the logits of all of it in float.

Where tiles of a scale overlap, each counts by a Gaussian around its middle (Isensee et al. 2021, "nnU-Net": a standard deviation
of an eighth of the tile), so that no seam is seen. Scales count the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import LOGITS, answered, offsets_of
from pocketvision.tasks.segmentation.logits import Cells, Floats, Logits, cells_between, mixed, softmax
from pocketvision.tasks.segmentation.truth import NOTHING, value_counts
from pocketvision.tasks.task import Detail

DEVIATION = 0.125
"""Of the Gaussian, in tiles."""

AT_ONCE = 2_000_000
"""Logits that are answered at once."""

KEPT = 4_000_000
"""Logits that an answer keeps: of larger images those of cells 2, 3, 4 … times as wide, on average."""


@dataclass(frozen=True, eq=False)
class Side:
    """Along one side of the image, what a tile has of the grid: the cells from `start` on, where each lies between the tile's own
    cells, and how much the tile counts there."""

    start: int
    between: Cells
    weights: Floats

    @property
    def stop(self) -> int:
        """Behind the last cell."""
        return self.start + len(self.weights)


class MergedMask:
    """The Merging of segmentation. The grid has the cells of the tiles that show most, over the whole image."""

    def __init__(self, placements: Sequence[Placement], task: TaskManifest, detail: Detail) -> None:
        del detail
        self._placements, self._labels, self._offsets = placements, task.labels, offsets_of(task)
        self._size = placements[0].image_size
        self._added = 0
        self._grid: Grid | None = None
        self._alone: Segmentation | None = None  # of an image that is one input after all

    def add(self, tensors: Tensors, placement: Placement) -> None:
        """Logits (1, classes, h, w) of the next input."""
        if len(self._placements) == 1:
            self._alone = answered(Logits(tensors[LOGITS][0], placement), self._labels, self._offsets)
            return
        values = np.nan_to_num(tensors[LOGITS][0].astype(np.float32), nan=-1e4, posinf=1e4, neginf=-1e4)
        if self._grid is None:
            self._grid = Grid(self._placements, values.shape[1:], len(values), self._offsets)
        self._grid.add(self._added, values)
        self._added += 1

    def answer(self) -> Segmentation:
        """Of all of the image."""
        if self._alone is not None:
            return self._alone
        assert self._grid is not None, "there is an input at least"
        grid = self._grid
        counts = value_counts(grid.mask)[: len(self._labels)]
        shares = counts / grid.mask.size
        return Segmentation(self._labels, self._size, shares, grid.mask, grid.certainty, grid.kept.logits)


class Grid:
    """mask: (height, width) of the image, as far as it is final."""

    def __init__(self, placements: Sequence[Placement], shape: tuple[int, ...], classes: int, offsets: Floats) -> None:
        """shape: (h, w) of each input's logits. offsets: (classes) added to them."""
        self._offsets, self._size = offsets, placements[0].image_size
        self._down, self._across = (_sides(placements, shape[axis], axis) for axis in (0, 1))
        height, width = self._cells = tuple(max(each.stop for each in sides) for sides in (self._down, self._across))
        self._scales = len({_zoom(each) for each in placements})
        tops = np.array([each.start for each in self._down] + [height])
        self._final = np.minimum.accumulate(tops[::-1])[::-1][1:]  # rows above which nothing more is added, after each
        reached = np.maximum.accumulate([each.stop for each in self._down])
        rows = int((reached - np.concatenate([[0], self._final[:-1]])).max())
        self._sums: Floats = np.zeros((classes, rows, width), np.float32)
        self._above: Floats = self._sums[:, :0].copy()  # the last row that was answered
        self._first = self._shown = 0
        self.mask = np.empty(self._size[::-1], np.uint8)
        self.kept = Kept(classes, (height, width), self._size)
        self._sure, self._counted = 0.0, 0
        self._seen_down, self._seen_across = (_seen(placements, axis) for axis in (0, 1))

    @property
    def certainty(self) -> float:
        """The probability of each cell's class, on average."""
        return self._sure / max(self._counted, 1)

    def add(self, number: int, values: Floats) -> None:
        """The logits (classes, h, w) of an input, in order."""
        down, across = self._down[number], self._across[number]
        rows = mixed(values[:, down.between.first], values[:, down.between.second], down.between.share[:, None])
        rows = mixed(rows[:, :, across.between.first], rows[:, :, across.between.second], across.between.share)
        rows *= down.weights[:, None]
        rows *= across.weights
        self._sums[:, down.start - self._first : down.stop - self._first, across.start : across.stop] += rows
        final = int(self._final[number])
        if final > self._first:
            self._answer(final)

    def _answer(self, stop: int) -> None:
        """The rows of the grid up to `stop` are final."""
        count, (height, width) = stop - self._first, self._cells
        step = max(1, AT_ONCE // (len(self._sums) * width))
        for start in range(0, count, step):
            band = self._sums[:, start : min(start + step, count)] / np.float32(self._scales)
            self._count(band, self._first + start)
            self.kept.add(band, self._first + start)
            self._show(band, self._first + start, last=self._first + start + band.shape[1] == height)
            self._above = band[:, -1:].copy()
        self._sums[:, : self._sums.shape[1] - count] = self._sums[:, count:]
        self._sums[:, self._sums.shape[1] - count :] = 0
        self._first = stop

    def _count(self, band: Floats, start: int) -> None:
        best = softmax(band).max(axis=0)
        rows, columns = (
            seen[np.minimum(((cells + 0.5) * len(seen) / count).astype(np.int64), len(seen) - 1)]
            for seen, cells, count in (
                (self._seen_down, np.arange(start, start + band.shape[1]), self._cells[0]),
                (self._seen_across, np.arange(self._cells[1]), self._cells[1]),
            )
        )
        self._sure += float(best[rows][:, columns].sum(dtype=np.float64))
        self._counted += int(rows.sum()) * int(columns.sum())

    def _show(self, band: Floats, start: int, *, last: bool) -> None:
        """The image's rows that lie between rows of the grid up to the band's last."""
        width, height = self._size
        pitch = height / self._cells[0]
        stop = height if last else min(height, floor((start + band.shape[1] - 0.5) * pitch - 0.5) + 1)
        if stop <= self._shown:
            return
        above = self._above.shape[1]
        values = np.concatenate([self._above, band], axis=1)
        matrix = np.diag([self._cells[1] / width, 1 / pitch, 1.0])
        matrix[1, 2] = self._shown / pitch - (start - above)
        shown = Placement((width, stop - self._shown), matrix, (self._cells[1], values.shape[1]))
        part = slice(self._shown, stop)
        self.mask[part] = Logits(values, shown).classes(self._offsets)
        self.mask[part][~self._seen_down[part]] = NOTHING
        self.mask[part][:, ~self._seen_across] = NOTHING
        self._shown = stop


class Kept:
    """What an answer keeps of the grid's logits: of every `step` x `step` cells their mean."""

    def __init__(self, classes: int, cells: tuple[int, int], size: tuple[int, int]) -> None:
        self._cells, self._size, self._step = cells, size, 1
        while classes * (small := tuple(ceil(each / self._step) for each in cells))[0] * small[1] > KEPT:
            self._step += 1
        self._sums = np.zeros((classes, *small), np.float32)

    def add(self, band: Floats, start: int) -> None:
        """Rows from `start` on."""
        step = self._step
        if step == 1:
            self._sums[:, start : start + band.shape[1]] = band
            return
        columns = np.add.reduceat(band, np.arange(0, band.shape[2], step), axis=2)
        for row in range(band.shape[1]):
            self._sums[:, (start + row) // step] += columns[:, row]

    @property
    def logits(self) -> Logits:
        """In cells `step` times as wide and high as the grid's."""
        (height, width), step = self._cells, self._step
        counts = [np.minimum(step, side - np.arange(0, side, step)) for side in (height, width)]
        values: Floats = np.divide(self._sums, np.outer(*counts).astype(np.float32))
        scale = np.diag([width / (self._size[0] * step), height / (self._size[1] * step), 1.0])
        return Logits(values, Placement(self._size, scale, (values.shape[2], values.shape[1])))


def _sides(placements: Sequence[Placement], cells: int, axis: int) -> list[Side]:
    """Along the rows (0) or columns (1) of the grid, of each input. cells: of its logits."""
    grid = ceil(round(placements[0].image_size[1 - axis] / min(_pitch(each, cells, axis) for each in placements), 6))
    alone: dict[tuple[float, float], tuple[int, Floats, Cells]] = {}
    totals: dict[float, Floats] = {}
    for placement in placements:
        scale, shift = _axis(placement, axis)
        if (scale, shift) not in alone:
            alone[scale, shift] = start, weights, _ = _alone(placement, cells, grid, axis)
            total = totals.setdefault(scale, np.zeros(grid, np.float32))
            total[start : start + len(weights)] += weights
    found = []
    for placement in placements:
        scale, shift = _axis(placement, axis)
        start, weights, between = alone[scale, shift]
        found.append(Side(start, between, weights / totals[scale][start : start + len(weights)]))
    return found


def _alone(placement: Placement, cells: int, grid: int, axis: int) -> tuple[int, Floats, Cells]:
    """The first of the grid's cells whose middle lies in the input, the weights of these, and between which of its own cells."""
    (scale, shift), side = _axis(placement, axis), placement.input_size[1 - axis]
    middles = (np.arange(grid) + 0.5) * (placement.image_size[1 - axis] / grid) * scale + shift
    inside = np.flatnonzero((middles >= 0) & (middles < side))
    places = middles[inside] / side
    weights = np.exp(-0.5 * ((places - 0.5) / DEVIATION) ** 2).astype(np.float32)
    return int(inside[0]), weights, cells_between(places * cells, cells)


def _axis(placement: Placement, axis: int) -> tuple[float, float]:
    """Scale and shift along the rows (0) or columns (1)."""
    at = 1 - axis
    return float(placement.matrix[at, at]), float(placement.matrix[at, 2])


def _pitch(placement: Placement, cells: int, axis: int) -> float:
    """Pixels of the image that a cell of the logits is wide or high."""
    return placement.input_size[1 - axis] / cells / _axis(placement, axis)[0]


def _zoom(placement: Placement) -> tuple[float, float]:
    return _axis(placement, 0)[0], _axis(placement, 1)[0]


def _seen(placements: Sequence[Placement], axis: int) -> NDArray[np.bool_]:
    """(height) or (width): which rows or columns of the image some input shows."""
    found = np.zeros(placements[0].image_size[1 - axis], np.bool_)
    for scale, shift in {_axis(each, axis) for each in placements}:
        places = (np.arange(len(found)) + 0.5) * scale + shift
        found |= (places >= 0) & (places < placements[0].input_size[1 - axis])
    return found
