"""The one pass over all images that an audit takes: every file is decoded once, and only its fingerprint is kept."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.fingerprints import CONTENT_HASH_BYTES, THUMBNAIL_BYTES, Fingerprint, take_fingerprint
from pocketvision.data.near_duplicates import Pairs, find_near_duplicates
from pocketvision.data.perceptual import LENGTH, frequencies
from pocketvision.data.samples import Samples
from pocketvision.errors import ImageError, PocketVisionError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import FORMATS, FULL_RANGE, MAX_PIXELS


@dataclass(frozen=True, eq=False)
class Inspection:
    """What n files turned out to be.

    unreadable: index -> reason, ascending. content_hashes: (n) 16 bytes each (V16), zeros where unreadable.
    widths, heights: (n) int32 pixels, 0 where unreadable. formats: (n) int8, index into FORMATS, -1 where unreadable.
    blank: (n) readable pictures without detail, which are never near-duplicates.
    copies: (n) the first image with the same pixels; clusters: (n) the image that its cluster of near-duplicates (and
    exact ones) formed around; both their own index when alone.
    near_pairs: (k, 2) confirmed near-duplicates among the first of each content.
    white_levels: (n) of 16-bit pictures, the lowest that holds the largest pixel, 0 for others. pictures: (n) in each file, of
    which the first is taken, 0 where unreadable. damage: index -> what is damaged beside the pixels, which are whole.
    frequencies: (n, 32) float16, what a perceptual hash is made of (perceptual.py); NaN where unreadable or blank.
    """

    unreadable: Mapping[int, str]
    content_hashes: NDArray[np.void]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    formats: NDArray[np.int8]
    blank: NDArray[np.bool_]
    copies: NDArray[np.int64]
    clusters: NDArray[np.int64]
    near_pairs: Pairs
    frequencies: NDArray[np.float16]
    white_levels: NDArray[np.int32]
    pictures: NDArray[np.int32]
    damage: Mapping[int, tuple[str, ...]]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(n) whether each image could be decoded."""
        return self.formats >= 0

    @property
    def white_level(self) -> int:
        """The value that becomes white in all 16-bit pictures of this data: the lowest that holds the largest of their pixels.
        The full range where there are none."""
        return int(self.white_levels.max(initial=0)) or FULL_RANGE


def inspect_images(
    samples: Samples,
    *,
    max_pixels: int = MAX_PIXELS,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Decode every image once, `workers` at a time, and compare them all. A file that can not be read never raises.

    Memory: the decoded images of `workers` threads, some 110 bytes an image that stay, 1.5 to 3.5 KB while they are
    compared. The thumbnails, 2,400 bytes each, are in a temporary file, mapped and never read whole; PocketVisionError
    when there is no room for it.
    """
    count = len(samples)
    hashes = np.zeros(count, dtype=f"V{CONTENT_HASH_BYTES}")
    sizes = np.zeros((count, 2), dtype=np.int32)
    formats = np.full(count, -1, dtype=np.int8)
    white_levels, pictures = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.int32)
    unreadable: dict[int, str] = {}
    damage: dict[int, tuple[str, ...]] = {}

    def read(index: int) -> Fingerprint | str:
        try:
            return take_fingerprint(samples.file(index), max_pixels=max_pixels)
        except ImageError as error:
            return error.reason

    with _temporary_file() as file:
        for index, result in enumerate(prefetch(read, range(count), workers=workers)):
            if isinstance(result, str):
                unreadable[index] = result
            else:
                hashes[index] = np.void(result.content_hash)
                sizes[index] = result.width, result.height
                formats[index] = FORMATS.index(result.format)
                white_levels[index], pictures[index] = result.white_level or 0, result.pictures
                if result.damage:
                    damage[index] = result.damage
                _append(file, result.thumbnail)
            if on_progress is not None:
                on_progress(index + 1, count)
        readable = np.flatnonzero(formats >= 0)
        compared = _compare(_thumbnails(file, len(readable)), readable, hashes, sizes, workers)
    facts = (white_levels, pictures, damage)
    return Inspection(unreadable, hashes, sizes[:, 0], sizes[:, 1], formats, *compared, *facts)


def _compare(
    thumbnails: NDArray[np.uint8],
    readable: NDArray[np.int64],
    hashes: NDArray[np.void],
    sizes: NDArray[np.int32],
    workers: int,
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], Pairs, NDArray[np.float16]]:
    """blank, copies, clusters, near_pairs and frequencies of an Inspection, from the thumbnails of the readable images."""
    count = len(sizes)
    _, first, content = np.unique(hashes[readable], return_index=True, return_inverse=True)
    near = find_near_duplicates(thumbnails, sizes[readable], among=np.sort(first), workers=workers)
    blank = np.zeros(count, dtype=np.bool_)
    blank[readable] = ~near.detailed
    copies, clusters = np.arange(count), np.arange(count)
    copies[readable] = readable[first[content]]
    clusters[readable] = readable[near.clusters[first[content]]]
    numbers = np.full((count, LENGTH), np.nan, np.float16)
    numbers[readable[near.detailed]] = frequencies(thumbnails)[near.detailed]
    return blank, copies, clusters, readable[near.confirmed], numbers


def _thumbnails(file: IO[bytes], count: int) -> NDArray[np.uint8]:
    """The (count, 2400) thumbnails in `file`, mapped into memory."""
    if count == 0:  # nothing can not be mapped
        return np.zeros((0, THUMBNAIL_BYTES), dtype=np.uint8)
    return np.memmap(file, dtype=np.uint8, mode="r", shape=(count, THUMBNAIL_BYTES))


def _temporary_file() -> IO[bytes]:
    # Unbuffered: a buffer that found no room would raise a second time, when the file is closed.
    with _room():
        return tempfile.TemporaryFile(buffering=0)


def _append(file: IO[bytes], thumbnail: NDArray[np.uint8]) -> None:
    with _room():
        if file.write(thumbnail.tobytes()) < THUMBNAIL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _room() -> Iterator[None]:
    """Turns a full disk into an error that says what the space was for."""
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or "The folder for temporary files"
        raise PocketVisionError(
            f"{folder}: can not hold the thumbnails that near-duplicates are searched with, {THUMBNAIL_BYTES:,} bytes an "
            f"image ({error.strerror or error}). Free some space, or set TMPDIR to a roomier folder."
        ) from error
