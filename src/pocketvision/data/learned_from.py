"""Which images a model learned from: a content hash and a perceptual hash of each, 34 bytes an image, and no picture.

The file ships in the bundle, so that whoever measures it can tell what it has seen. Two pictures have one content hash (128
bits) only if their pixels are the same. Near-duplicates are told by the perceptual hash alone (perceptual.py), which can be
wrong; how often among these very images is measured when the file is made, and the limit is set so that it is seldom.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pocketvision.bundle import Bundle
from pocketvision.data.alignment import has_detail
from pocketvision.data.fingerprints import CONTENT_HASH_BYTES, Fingerprint, take_fingerprint
from pocketvision.data.perceptual import BYTES, LENGTH, distances, frequencies, hashed
from pocketvision.data.samples import SPLITS
from pocketvision.errors import BundleError, ImageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS

FILE = "learned_from.safetensors"
"""Its name in a bundle."""

UNSEEN, SAME, NEAR, GROUPED = range(4)
"""How an image was seen before: not; the same pixels; nearly the same picture; another one of its group."""

_TEST = SPLITS.index("test")
_LIMITS = (0.002, 0.001, 0.0005, 0.0002, 0.0)
_FALSE_AT_MOST = 0.01
_TRIED = 1000
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Matches:
    """Of m images: kinds (m) int8, how each was seen before; splits (m) int8, the split that it was seen in, an index into
    SPLITS, -1 where it was not. A test image of the training itself has the split "test" and was not seen."""

    kinds: NDArray[np.int8]
    splits: NDArray[np.int8]

    def of(self, rows: NDArray[np.integer]) -> "Matches":
        """Of these of the images."""
        return Matches(self.kinds[rows], self.splits[rows])


@dataclass(frozen=True, eq=False)
class LearnedFrom:
    """n images of a training. content: (n) V16. perceptual: (n, 16) uint8. splits: (n) int8, index into SPLITS. kinds: (n) int8,
    how an image with these pixels was seen: SAME, or, of test images, UNSEEN, or in what way the audit found them in the split
    that `splits` then names. near_limit: the distance below which an image is nearly one of these; 0 where
    they are too much alike to tell. false_matches: the share of them that come that near to another one which is none.
    """

    content: NDArray[np.void]
    perceptual: NDArray[np.uint8]
    splits: NDArray[np.int8]
    kinds: NDArray[np.int8]
    near_limit: float
    false_matches: float

    def __len__(self) -> int:
        return len(self.splits)

    def to_bytes(self) -> bytes:
        """The file's content. In the order of the hashes, which tells nothing of the images' files."""
        order = np.argsort(self.content)
        return safetensors.numpy.save(
            {
                "content": self.content[order].view(np.uint8).reshape(-1, CONTENT_HASH_BYTES),
                "perceptual": np.ascontiguousarray(self.perceptual[order]),
                "splits": np.ascontiguousarray(self.splits[order]),
                "kinds": np.ascontiguousarray(self.kinds[order]),
            },
            {"near_limit": repr(self.near_limit), "false_matches": repr(self.false_matches)},
        )

    def seen(self, content: NDArray[np.void], numbers: NDArray[np.floating]) -> Matches:
        """Of m images by content hashes (m) and frequencies (m, 32; NaN where a picture has too little detail to compare)."""
        kinds, splits = np.zeros(len(content), np.int8), np.full(len(content), -1, np.int8)
        known: dict[bytes, tuple[int, int]] = {}
        for key, split, kind in zip(self.content.tolist(), self.splits.tolist(), self.kinds.tolist(), strict=True):
            known[key] = min((split, kind), known.get(key, (split, kind)))
        for place, key in enumerate(content.tolist()):
            splits[place], kinds[place] = known.get(key, (-1, UNSEEN))
        learned = self.kinds == SAME
        hashes, of_split = self.perceptual[learned], self.splits[learned]
        unknown = np.flatnonzero((splits < 0) & np.isfinite(numbers).all(axis=1))
        if self.near_limit > 0 and len(hashes):
            for start in range(0, len(unknown), _ROWS_AT_ONCE):
                rows = unknown[start : start + _ROWS_AT_ONCE]
                near = distances(numbers[rows], hashes) < self.near_limit
                first = np.where(near, of_split, _TEST).min(axis=1)
                kinds[rows[near.any(axis=1)]] = NEAR
                splits[rows] = np.where(first < _TEST, first, -1)
        return Matches(kinds, splits)

    def with_more(self, content: NDArray[np.void], numbers: NDArray[np.floating]) -> "LearnedFrom":
        """With m further images that were learned from since."""
        return LearnedFrom(
            np.concatenate([self.content, content]),
            np.concatenate([self.perceptual, hashed(np.nan_to_num(numbers))]),
            np.concatenate([self.splits, np.zeros(len(content), np.int8)]),
            np.concatenate([self.kinds, np.full(len(content), SAME, np.int8)]),
            self.near_limit,
            self.false_matches,
        )

    def united(self, other: "LearnedFrom") -> "LearnedFrom":
        """The images of two trainings of one network. Nearly the same are told by the stricter limit of the two."""
        parts = zip(*((each.content, each.perceptual, each.splits, each.kinds) for each in (self, other)), strict=True)
        content, perceptual, splits, kinds = (np.concatenate(part) for part in parts)
        limit, false_matches = min((self.near_limit, self.false_matches), (other.near_limit, other.false_matches))
        return LearnedFrom(content, perceptual, splits, kinds, limit, false_matches)


def learned_from(
    content: NDArray[np.void],
    numbers: NDArray[np.floating],
    splits: NDArray[np.int8],
    clusters: NDArray[np.int64],
    *,
    tests: Matches | None = None,
    seed: int = 0,
) -> LearnedFrom:
    """Of n images by content hashes (n), frequencies (n, 32; NaN without detail) and splits (n).

    clusters: (n), the same number for images that are known to be nearly the same picture, from thumbnails.
    tests: how the test images, in their order, are known to have been seen; None where none was.
    """
    kinds, splits = np.where(splits == _TEST, UNSEEN, SAME).astype(np.int8), splits.astype(np.int8)
    if tests is not None:
        seen = np.flatnonzero(splits == _TEST)[tests.kinds != UNSEEN]
        kinds[seen], splits[seen] = tests.kinds[tests.kinds != UNSEEN], tests.splits[tests.kinds != UNSEEN]
    hashes = hashed(np.nan_to_num(numbers))
    detailed = np.flatnonzero(np.isfinite(numbers).all(axis=1))
    tried = detailed
    if len(detailed) > _TRIED:
        tried = np.sort(np.random.default_rng(seed).choice(detailed, _TRIED, replace=False))
    nearest = np.full(len(tried), np.inf)
    for start in range(0, len(tried), _ROWS_AT_ONCE):
        rows = tried[start : start + _ROWS_AT_ONCE]
        found = distances(numbers[rows], hashes[detailed])
        found[clusters[rows][:, None] == clusters[detailed]] = np.inf
        nearest[start : start + len(rows)] = found.min(axis=1)
    shares = [(limit, float((nearest < limit).mean()) if len(tried) else 0.0) for limit in _LIMITS]
    limit, share = next(each for each in shares if each[1] <= _FALSE_AT_MOST)
    return LearnedFrom(content, hashes, splits, kinds, limit, share)


def known_to(bundle: Bundle) -> LearnedFrom | None:
    """What a bundle tells of the images that it learned from; None where it keeps no hashes."""
    return read_learned_from(bundle.path(FILE)) if FILE in bundle.manifest.files else None


def file_of(bundle: Bundle) -> dict[str, Path]:
    """The file of a bundle that has one, by its name, for a bundle that is made from it."""
    return {FILE: bundle.path(FILE)} if FILE in bundle.manifest.files else {}


def looked_up(
    known: LearnedFrom,
    files: Sequence[Path],
    *,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Matches, dict[int, str]]:
    """Which of m image files are among the `known` ones, and the reason of each that can not be read, which was not seen.

    Each is decoded once, in full. on_progress: called with the images done and their total, after every image.
    """
    content, numbers, unreadable = fingerprints_of(
        files, workers=workers, max_pixels=max_pixels, on_progress=on_progress
    )
    found = known.seen(content, numbers)
    for index in unreadable:
        found.kinds[index], found.splits[index] = UNSEEN, -1
    return found, unreadable


def fingerprints_of(
    files: Sequence[Path],
    *,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.void], NDArray[np.float32], dict[int, str]]:
    """The content hashes (m) and frequencies (m, 32; NaN without detail) of m files, and why any of them can not be read."""
    content = np.zeros(len(files), f"V{CONTENT_HASH_BYTES}")
    numbers = np.full((len(files), LENGTH), np.nan, np.float32)
    unreadable: dict[int, str] = {}

    def read(file: Path) -> Fingerprint | str:
        try:
            return take_fingerprint(file, max_pixels=max_pixels)
        except ImageError as error:
            return str(error)

    for index, result in enumerate(prefetch(read, files, workers=workers)):
        if isinstance(result, str):
            unreadable[index] = result
        else:
            content[index] = np.void(result.content_hash)
            if has_detail(result.thumbnail[None])[0]:
                numbers[index] = frequencies(result.thumbnail[None])[0]
        if on_progress is not None:
            on_progress(index + 1, len(files))
    return content, numbers, unreadable


def read_learned_from(path: Path) -> LearnedFrom:
    """Read a bundle's file. Raises BundleError that names it where it can not be read."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            content, perceptual = file.get_tensor("content"), file.get_tensor("perceptual")
            splits, kinds = file.get_tensor("splits"), file.get_tensor("kinds")
        shapes = (content.shape, perceptual.shape, kinds.shape)
        if shapes != ((len(splits), CONTENT_HASH_BYTES), (len(splits), BYTES), (len(splits),)):
            raise ValueError(f"the shapes are {shapes}")
        return LearnedFrom(
            np.ascontiguousarray(content).view(f"V{CONTENT_HASH_BYTES}").reshape(-1),
            perceptual,
            splits,
            kinds,
            float(metadata["near_limit"]),
            float(metadata["false_matches"]),
        )
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise BundleError(f"{path}: it can not be read ({error})") from error
