"""Which regions of a mask are likely drawn wrong, by the answers of a model that has not learned from it.

A pixel is doubted where another class than the drawn one is answered, and surely so: the difference of the two probabilities is
at least SURE. Doubted pixels of the same two classes that touch are a region. What is left of a region without its outermost
pixels decides whether it counts: along every border people and models differ by a pixel or two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.logits import Logits, softmax
from pocketvision.tasks.segmentation.record import SmallMask
from pocketvision.tasks.segmentation.truth import NOTHING, Mask, MaskLabels, resized
from pocketvision.tasks.truth import Truth

KIND = "region"
SURE = 0.5
"""By how much the answered class has to be more probable than the drawn one."""

GRID = 256
"""Pixels of the longer side of the grid that is looked at: of larger images every n-th."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class RegionDoubt:
    """Of one region. image: its place among the evidence. box: left, top, right, bottom in pixels of the upright image. share: of
    the image's pixels that it covers. doubt: the mean difference of probabilities, in [SURE, 1]. drawn, answered: classes. core:
    the share of the image that it covers without its outermost pixels. marks: the region within its box, in small, 1 where it is.
    """

    box: Box
    share: float
    doubt: float
    drawn: str
    answered: str
    core: float
    marks: SmallMask
    image: int = 0

    @property
    def kind(self) -> str:
        """Always KIND."""
        return KIND

    @property
    def likely(self) -> bool:
        """Always: what is not is no region."""
        return True

    @property
    def text(self) -> str:
        """As in "road, rather grass 92%; 3.1% of the image"."""
        return f"{self.drawn}, rather {self.answered}; {self.share:.1%} of the image"


@dataclass(frozen=True)
class MaskEvidence:
    """Of an image. known: how many of its pixels were judged, doubted: how many of them are in regions; in pixels of the grid."""

    regions: tuple[RegionDoubt, ...]
    known: int
    doubted: int


def look(outputs: Tensors, answer: Segmentation, truth: Truth | None, task: TaskManifest) -> MaskEvidence:
    """The regions of one image. Raises ImageError where its mask can not be read any more."""
    del outputs
    assert answer.logits is not None and isinstance(truth, MaskLabels), "it was decoded here, and has truth"
    there = resized(truth.mask(0), answer.size)
    drawn, said, apart = _on_grid(answer.logits, there)
    wrong = (said != drawn) & (apart >= SURE)
    pairs = np.where(wrong, 1 + drawn.astype(np.int64) * 256 + said, 0)
    numbers = touching(pairs)
    inner = _inner(numbers)
    cores = np.bincount(numbers[inner], minlength=int(numbers.max()) + 1)
    scale = answer.size[0] / drawn.shape[1], answer.size[1] / drawn.shape[0]
    regions = []
    for number in np.flatnonzero(cores[1:]).tolist():
        marks = numbers == number + 1
        rows, columns = np.flatnonzero(marks.any(axis=1)), np.flatnonzero(marks.any(axis=0))
        inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        first = rows[0], np.flatnonzero(marks[rows[0]])[0]
        box = (columns[0] * scale[0], rows[0] * scale[1], (columns[-1] + 1) * scale[0], (rows[-1] + 1) * scale[1])
        left, top, right, bottom = (round(float(side)) for side in box)
        regions.append(
            RegionDoubt(
                (left, top, right, bottom),
                float(marks.mean()),
                float(apart[marks].mean()),
                task.labels[drawn[first]],
                task.labels[said[first]],
                float(cores[number + 1] / marks.size),
                SmallMask.of(marks[inside].astype(np.uint8)),
            )
        )
    doubted = sum(round(each.share * numbers.size) for each in regions)
    return MaskEvidence(tuple(regions), int((drawn != NOTHING).sum()), doubted)


def doubts_of(evidence: Sequence[MaskEvidence], task: TaskManifest) -> list[RegionDoubt]:
    """Of n images the regions, those first that are largest by how doubtful they are."""
    del task
    found = [replace(each, image=image) for image, own in enumerate(evidence) for each in own.regions]
    return sorted(found, key=lambda each: -each.doubt * each.core)


def _on_grid(logits: Logits, there: Mask) -> tuple[Mask, Mask, NDArray[np.float32]]:
    """(h, w) each: the drawn class, NOTHING where nothing was drawn or seen; the most probable one; by how much that is more
    probable than the drawn one."""
    height, width = there.shape
    scale = min(1.0, GRID / max(height, width))
    rows, columns = (
        ((np.arange(count) + 0.5) * side / count).astype(np.int64)
        for side, count in ((height, max(1, round(height * scale))), (width, max(1, round(width * scale))))
    )
    down, across = logits.seen
    drawn = np.where(down[rows, None] & across[columns], there[rows[:, None], columns], np.uint8(NOTHING))
    said, apart = np.zeros(drawn.shape, np.uint8), np.zeros(drawn.shape, np.float32)
    for part, band in logits.bands():
        inside = np.flatnonzero((rows >= part.start) & (rows < part.stop))
        chances = softmax(band[:, rows[inside] - part.start][:, :, columns])
        best = chances.argmax(axis=0)
        own = np.minimum(drawn[inside], len(chances) - 1).astype(np.int64)[None]
        said[inside] = best
        apart[inside] = np.take_along_axis(chances, best[None], 0)[0] - np.take_along_axis(chances, own, 0)[0]
    apart[drawn == NOTHING] = 0
    return drawn, said, apart


def touching(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """(h, w) numbers from 1 of the regions of equal values (h, w) above 0 that touch along edges; 0 elsewhere."""
    starts = np.ones(values.shape, np.bool_)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    runs = (np.cumsum(starts.ravel()) - 1).reshape(values.shape)
    joined = (values[1:] == values[:-1]) & (values[1:] > 0)
    parents = list(range(int(runs.max()) + 1))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = run = parents[parents[run]]
        return run

    pairs = np.unique(np.stack([runs[:-1][joined], runs[1:][joined]]), axis=1)
    for upper, lower in pairs.T.tolist():
        one, other = root(upper), root(lower)
        parents[max(one, other)] = min(one, other)
    roots = np.array([root(run) for run in range(len(parents))])[runs]
    _, numbers = np.unique(np.where(values > 0, roots + 1, 0), return_inverse=True)
    found = numbers.reshape(values.shape).astype(np.int64)
    return found if (values == 0).any() else found + 1


def _inner(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(h, w) whether a pixel of a region has four neighbours of the same; beyond the image is as within."""
    padded = np.pad(numbers, 1, mode="edge")
    same = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    inner: NDArray[np.bool_] = np.logical_and.reduce([each == numbers for each in same]) & (numbers > 0)
    return inner
