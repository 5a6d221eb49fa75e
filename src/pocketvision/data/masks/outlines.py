"""Outlines of objects while files are read, and the masks that they are drawn into when one is asked for."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.masks.filling import fill
from pocketvision.preprocessing.values import turned
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.segmentation.truth import Mask, resized


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels of an object: marks (h, w), the first at left, top of the picture. whole: they are those of all of the picture, in a
    size of their own."""

    left: int
    top: int
    marks: NDArray[np.bool_]
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Outline:
    """Of one object, in the unit of its format. rings: x and y in turn, at least three corners each; or a patch of pixels."""

    rings: Sequence[Sequence[float]] = ()
    patch: Patch | None = None


@dataclass(eq=False)
class Outlines:
    """Grows while files are read: of each object, in order, its rings (8 bytes a corner) or its pixels (as packed bits)."""

    corners: "array[float]" = field(default_factory=lambda: array("f"))
    ring_ends: "array[int]" = field(default_factory=lambda: array("q", [0]))
    object_ends: "array[int]" = field(default_factory=lambda: array("q", [0]))
    patches: dict[int, tuple[int, int, tuple[int, int], bytes, bool]] = field(default_factory=dict)

    def add(self, outline: Outline | None) -> None:
        """The next object's; None where it has none."""
        for ring in () if outline is None else outline.rings:
            if len(ring) >= 6 and np.isfinite(ring).all():
                self.corners.extend(ring[: len(ring) // 2 * 2])
                self.ring_ends.append(len(self.corners) // 2)
        if outline is not None and outline.patch is not None:
            patch = outline.patch
            height, width = patch.marks.shape
            packed = np.packbits(patch.marks).tobytes()
            self.patches[len(self.object_ends) - 1] = (patch.left, patch.top, (height, width), packed, patch.whole)
        self.object_ends.append(len(self.ring_ends) - 1)

    def has_outline(self) -> NDArray[np.bool_]:
        """(objects)"""
        found = np.diff(np.array(self.object_ends, np.int64)) > 0
        found[list(self.patches)] = True
        return found


@dataclass(frozen=True, eq=False)
class Frames:
    """Of n pictures: sizes (n, 2), width and height in which they are drawn; scales (n, 2) that outlines are multiplied with;
    turns (n) EXIF's orientation that makes the drawing upright, 1 for none."""

    sizes: NDArray[np.int64]
    scales: NDArray[np.float64]
    turns: NDArray[np.uint8]

    def select(self, indices: NDArray[np.int64]) -> "Frames":
        """Those of some."""
        return Frames(self.sizes[indices], self.scales[indices], self.turns[indices])


@dataclass(frozen=True, eq=False)
class DrawnMasks:
    """The masks of n pictures. objects: n rows with the columns `object` (its place in outlines), `number` (its class) and
    `area`; large ones are drawn first. What no object covers is 0, the background."""

    outlines: Outlines
    objects: Ragged
    frames: Frames

    def __len__(self) -> int:
        return len(self.objects)

    def read(self, index: int) -> Mask:
        """(h, w) class numbers, upright."""
        width, height = self.frames.sizes[index].tolist()
        mask, scale = np.zeros((height, width), np.uint8), self.frames.scales[index]
        row = self.objects.row(index)
        for place in np.argsort(-row["area"], kind="stable").tolist():
            self._draw(mask, int(row["object"][place]), int(row["number"][place]), scale)
        return np.ascontiguousarray(turned(mask, int(self.frames.turns[index])))

    def select(self, indices: NDArray[np.int64]) -> Self:
        """Those of the images at `indices`."""
        return replace(self, objects=self.objects.select(indices), frames=self.frames.select(indices))

    def _draw(self, mask: Mask, place: int, number: int, scale: NDArray[np.float64]) -> None:
        found = self.outlines
        for ring in range(found.object_ends[place], found.object_ends[place + 1]):
            start, end = found.ring_ends[ring], found.ring_ends[ring + 1]
            corners = np.frombuffer(found.corners, np.float32)[2 * start : 2 * end].reshape(-1, 2)
            fill(mask, [corners * scale], number)  # parts of one object may touch: each is filled alone
        if place in found.patches:
            left, top, shape, packed, whole = found.patches[place]
            marks = np.unpackbits(np.frombuffer(packed, np.uint8), count=shape[0] * shape[1]).reshape(shape) > 0
            if whole:
                mask[resized(marks.view(np.uint8), (mask.shape[1], mask.shape[0])) > 0] = number
            else:
                _stamp(mask, marks, left, top, number, scale)


def _stamp(mask: Mask, marks: NDArray[np.bool_], left: int, top: int, number: int, scale: NDArray[np.float64]) -> None:
    """Pixels at left, top, scaled: what is at the middle of each pixel of the mask."""
    height, width = mask.shape
    down = np.floor((np.arange(height) + 0.5) / scale[1]).astype(np.int64) - top
    across = np.floor((np.arange(width) + 0.5) / scale[0]).astype(np.int64) - left
    rows, columns = ((each >= 0) & (each < side) for each, side in zip((down, across), marks.shape, strict=True))
    part = mask[np.ix_(rows, columns)]
    part[marks[np.ix_(down[rows], across[columns])]] = number
    mask[np.ix_(rows, columns)] = part
