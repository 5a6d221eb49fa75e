"""The truth of segmentation: a class for every pixel of each image, read when it is asked for."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import Placement
from pocketvision.tasks.ragged import Ragged

SEGMENTATION = "segmentation"
"""The task's name where it has no other."""

Mask = NDArray[np.uint8]
"""(height, width) a class number for each pixel, NOTHING where there is none."""

NOTHING = 255
"""Of a pixel of which nobody said anything: it is neither learned nor measured."""

MOST_CLASSES = NOTHING

MOST_VALUE = 65535
"""That a pixel of a mask's file may have."""

DIGEST_BYTES = 16

AT_ONCE = 1_000_000
"""Pixels that are counted at once."""


class MaskReader(Protocol):
    """The masks of n images. What is held is where they are, never all of them."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Mask:
        """That of image `index`, upright, in a size of its own but the image's shape. Raises ImageError."""

    def select(self, indices: NDArray[np.int64]) -> Self:
        """Those of the images at `indices`."""


@dataclass(frozen=True)
class MaskArrays:
    """Masks that are in memory already, such as those of views."""

    arrays: tuple[Mask, ...]

    def __len__(self) -> int:
        return len(self.arrays)

    def read(self, index: int) -> Mask:
        """As it was given."""
        return self.arrays[index]

    def select(self, indices: NDArray[np.int64]) -> "MaskArrays":
        """The same arrays."""
        return MaskArrays(tuple(self.arrays[index] for index in indices.tolist()))


@dataclass(frozen=True, eq=False)
class MaskLabels:
    """Of n images a mask each.

    masks: where they are read from. places: (256) from the reader's numbers to places in class_names; NOTHING stays. pixels:
    (n, classes + 1) how many of each mask's pixels are of each class, and of none. digests: (n, DIGEST_BYTES) of the masks as
    they are read. present: (n) whether there is a mask. class_names: in index order.

    40 bytes an image, 8 more a class, and what the reader holds.
    """

    masks: MaskReader
    class_names: tuple[str, ...]
    places: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    digests: NDArray[np.uint8]
    present: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count, classes = len(self.masks), len(self.class_names)
        if classes > MOST_CLASSES:
            raise UsageError(f"There are {classes:,} classes of pixels; at most {MOST_CLASSES} can be told apart.")
        shapes = (self.places.shape, self.pixels.shape, self.digests.shape, self.present.shape)
        if shapes != ((256,), (count, classes + 1), (count, DIGEST_BYTES), (count,)):
            raise ValueError(f"{count} masks of {classes} classes with {shapes}")

    @classmethod
    def of(cls, masks: MaskReader, class_names: tuple[str, ...], present: NDArray[np.bool_] | None = None) -> Self:
        """Reads every mask once, some at a time, and counts. The reader's numbers are places in class_names. Raises ImageError
        for a mask that can not be read, ValueError for a number that is no class."""
        count, classes = len(masks), len(class_names)
        there = np.ones(count, np.bool_) if present is None else present
        pixels, digests = np.zeros((count, classes + 1), np.int64), np.zeros((count, DIGEST_BYTES), np.uint8)
        places = np.flatnonzero(there).tolist()
        workers = 0 if count == 1 else 2
        for index, mask in zip(places, prefetch(masks.read, places, workers=workers, ahead=4), strict=True):
            counts = value_counts(mask)
            if counts[classes:NOTHING].any():
                raise ValueError(f"mask {index} has the number {classes + int(counts[classes:NOTHING].argmax())}")
            pixels[index] = [*counts[:classes], counts[NOTHING]]
            digests[index] = digest(mask)
        return cls(masks, class_names, np.arange(256, dtype=np.uint8), pixels, digests, there)

    @classmethod
    def of_arrays(cls, arrays: Sequence[Mask], class_names: tuple[str, ...]) -> Self:
        """Of masks in memory."""
        return cls.of(MaskArrays(tuple(np.asarray(each, np.uint8) for each in arrays)), class_names)

    def __len__(self) -> int:
        return len(self.masks)

    def mask(self, index: int) -> Mask:
        """(h, w) of image `index`, upright, in places of class_names. Raises ImageError."""
        found: Mask = self.places[self.masks.read(index)]
        return found

    @cached_property
    def strata(self) -> Ragged:
        """What each image holds of what a split shares out evenly: its classes, and the image itself."""
        held = np.concatenate([self.pixels[:, :-1] > 0, np.ones((len(self), 1), np.bool_)], axis=1)
        offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))]).astype(np.int64)
        return Ragged(offsets, {"stratum": np.nonzero(held)[1].astype(np.int64)})

    def class_counts(self) -> NDArray[np.int64]:
        """(classes) in how many images each is."""
        counts: NDArray[np.int64] = (self.pixels[:, :-1] > 0).sum(axis=0).astype(np.int64)
        return counts

    def pixel_counts(self) -> NDArray[np.int64]:
        """(classes) how many pixels each has."""
        counts: NDArray[np.int64] = self.pixels[:, :-1].sum(axis=0)
        return counts

    def select(self, indices: NDArray[np.int64]) -> Self:
        """Those of the images at `indices`, integers in any order."""
        own = {name: getattr(self, name)[indices] for name in ("pixels", "digests", "present")}
        return replace(self, masks=self.masks.select(indices), **own)

    def aligned(self, rows: NDArray[np.int64]) -> Self:
        """Those of other images: (k) which image here each is, or -1 for one that lacks a mask."""
        lacks = rows < 0
        same = self.select(np.where(lacks, 0, rows))
        return replace(
            same,
            pixels=np.where(lacks[:, None], 0, same.pixels),
            digests=np.where(lacks[:, None], np.uint8(0), same.digests),
            present=same.present & ~lacks,
        )

    def through(self, index: int, placement: Placement) -> Self:
        """That of image `index` alone, in the pixels of the input; nothing where the image does not reach. Raises ImageError."""
        if not self.present[index]:
            nobody = MaskArrays((np.full(placement.input_size[::-1], NOTHING, np.uint8),))
            return self.of(nobody, self.class_names, np.zeros(1, np.bool_))
        return self.of_arrays([moved(self.mask(index), placement)], self.class_names)

    def in_classes(self, class_names: tuple[str, ...]) -> Self:
        """The same by another list of class names. Raises UsageError where a class with pixels is not among them."""
        if class_names == self.class_names:
            return self
        for name, count in zip(self.class_names, self.class_counts().tolist(), strict=True):
            if count and name not in class_names:
                raise unknown_name(f"class ({count} images)", name, class_names)
        return self._in(class_names)

    def without(self, name: str) -> Self:
        """The same where the pixels of a class are of none: neither learned nor measured."""
        return self._in(tuple(each for each in self.class_names if each != name))

    def _in(self, class_names: tuple[str, ...]) -> Self:
        """By names some of which may lack; pixels of those are of no class."""
        place_of = {name: place for place, name in enumerate(class_names)}
        new = np.array([place_of.get(name, NOTHING) for name in self.class_names], np.uint8)
        table = np.full(256, NOTHING, np.uint8)
        table[: len(new)] = new
        pixels = np.zeros((len(self), len(class_names) + 1), np.int64)
        known = new != NOTHING
        pixels[:, -1] = self.pixels[:, -1] + self.pixels[:, :-1][:, ~known].sum(axis=1)
        pixels[:, new[known]] = self.pixels[:, :-1][:, known]
        return replace(self, class_names=class_names, places=table[self.places], pixels=pixels)

    def said(self, index: int) -> bytes:
        """The names of its classes, how many pixels each has, and which; nothing of an image without a mask."""
        if not self.present[index]:
            return b""
        counts = zip(self.class_names, self.pixels[index].tolist(), strict=False)
        named = sorted(b"%b=%d" % (name.encode("utf-8", "surrogatepass"), count) for name, count in counts if count)
        own: bytes = self.digests[index].tobytes()
        return b"mask:" + b"\0".join(named) + own


def value_counts(mask: Mask) -> NDArray[np.int64]:
    """(256) how many pixels have each value. Some rows at a time: counting takes eight bytes a pixel."""
    counts = np.zeros(256, np.int64)
    for rows in in_parts(mask.shape):
        counts += np.bincount(mask[rows].ravel(), minlength=256)
    return counts


def in_parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of a mask of that shape, about AT_ONCE pixels each."""
    step = max(1, AT_ONCE // max(shape[1], 1))
    return (slice(start, start + step) for start in range(0, shape[0], step))


def digest(mask: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(DIGEST_BYTES) of a mask's size and pixels."""
    told = hashlib.blake2b(repr(mask.shape).encode("ascii"), digest_size=DIGEST_BYTES)
    told.update(np.ascontiguousarray(mask).tobytes())
    return np.frombuffer(told.digest(), np.uint8)


def moved(mask: Mask, placement: Placement) -> Mask:
    """A mask of an image, of any size, in the pixels of what was made of the image: what is at the centre of each."""
    width, height = placement.input_size
    back = np.linalg.inv(placement.matrix)
    scale = np.array([mask.shape[1], mask.shape[0]]) / np.array(placement.image_size)
    across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
    if back[0, 1] == 0 and back[1, 0] == 0:
        columns, inside = _looked_up((across * back[0, 0] + back[0, 2]) * scale[0], mask.shape[1])
        rows, within = _looked_up((down * back[1, 1] + back[1, 2]) * scale[1], mask.shape[0])
        found = mask[rows[:, None], columns]
        found[~(within[:, None] & inside)] = NOTHING
        return found
    x = (across * back[0, 0] + down[:, None] * back[0, 1] + back[0, 2]) * scale[0]
    y = (across * back[1, 0] + down[:, None] * back[1, 1] + back[1, 2]) * scale[1]
    columns, inside = _looked_up(x, mask.shape[1])
    rows, within = _looked_up(y, mask.shape[0])
    return np.where(inside & within, mask[rows, columns], np.uint8(NOTHING))


def resized(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask in another size (width, height): what is at the centre of each pixel."""
    width, height = size
    if mask.shape == (height, width):
        return mask
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)
        for new, old in zip((height, width), mask.shape, strict=True)
    )
    found: Mask = mask[rows[:, None], columns]
    return found


def _looked_up(places: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Pixels that places lie in, and whether they lie in any."""
    pixels = np.floor(places).astype(np.int64)
    inside = np.asarray((pixels >= 0) & (pixels < count), np.bool_)
    return np.clip(pixels, 0, count - 1), inside
