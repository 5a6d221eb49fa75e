"""Near-duplicates: which images of many show the same picture (alignment.py says what that means).

Three steps, none of them quadratic in the number of images n:
1. Candidates. Trees halve the images again and again, at the median of a random mixture of their perceptual hashes,
   until 64 are left together: locality-sensitive hashing whose thresholds fit the data, so that a folder of look-alikes
   has no crowded bucket. In every leaf each image names its nearest few. O(n log n), a bounded number of pairs.
2. Confirmation. The thumbnails of each pair are aligned and compared pixel by pixel, more strictly within crowds.
3. Clusters. A cluster grows only while all its members look like its middle: A like B and B like C make no heap.

Measured by benchmarks/near_duplicates.py. False pairs per 100 pictures: none among 472 faces of 64 pixels, 0.3 among 2,000
3D emoji of 256 pixels (skin tones and genders), 0.15 among 2,000 tiles of 50 photographs; with six copies of each, 0.07
to 0.26 % of the pairs reported. Copies found: 94 to 100 % of those encoded, resized, cropped, exposed or marked; of those
with all but the mark at once, 96 % from 256 pixels on and 89 % at 64.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.alignment import has_detail, same_picture
from pocketvision.data.fingerprints import perceptual_hashes
from pocketvision.prefetch import prefetch

Pairs = NDArray[np.int64]
Scalar = TypeVar("Scalar", np.bool_, np.float32)

TREES = 8
LEAF = 64
NEAREST = 16
"""Candidate pairs an image, at most, on the whole: each names half as many others."""

# Squared distance of two hashes, as a share of their squared length. 99 in 100 crops, re-encodings and exposures lie
# below 0.1; a mark in the corner of a dim picture may lie above.
_FARTHEST = 0.25
_NOISE = 4.0
_ASPECT = 1.1  # a crop of 3 % off two opposite sides changes the aspect ratio by 6 %
_SMALL = 64
_PAIRS_AT_ONCE = 1024
_CLUSTER_SLACK = 2.0

# Where an image looks like so many, the pictures are a series, such as parts on a belt or a camera that stands still, and
# being alike says little. There a pair must be twice as close, the corners too.
_CROWD = 8
_CROWD_SLACK = 0.5


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Which of n images show the same picture.

    confirmed: (k, 2) every pair found, each ascending. clusters: (n) for each image the one its cluster formed around.
    Both images of a confirmed pair are in one cluster, but where a long row of slowly changing pictures had to be cut.
    detailed: (n) whether a picture has enough detail to be compared at all.
    """

    confirmed: Pairs
    clusters: NDArray[np.int64]
    detailed: NDArray[np.bool_]


def find_near_duplicates(
    thumbnails: NDArray[np.uint8],
    sizes: NDArray[np.int32],
    *,
    among: NDArray[np.int64] | None = None,
    workers: int = 2,
    seed: int = 0,
) -> NearDuplicates:
    """Search thumbnails (n, 2400) uint8, which may be memory-mapped; `sizes` (n, 2) are width and height.

    among: the indices to compare (one of each set of exact duplicates); None compares all. The same for a seed.
    Holds some 1.5 KB an image while it searches, 3.5 KB where all look alike.
    """
    parts = _slices(len(thumbnails), _PAIRS_AT_ONCE)
    detailed = _joined((has_detail(thumbnails[part]) for part in parts), np.bool_)
    compared = np.flatnonzero(detailed) if among is None else among[detailed[among]]
    pairs = np.sort(compared[candidate_pairs(perceptual_hashes(thumbnails)[compared], seed=seed)], axis=1)
    shapes = np.log(sizes[:, 0] / sizes[:, 1])[pairs]
    pairs = pairs[np.abs(shapes[:, 0] - shapes[:, 1]) < np.log(_ASPECT)]
    slack = _slack(sizes, pairs)

    def confirm(part: slice) -> NDArray[np.bool_]:
        one, other = pairs[part].T
        return same_picture(thumbnails[one], thumbnails[other], slack=slack[part])

    confirmed = pairs[_joined(prefetch(confirm, _slices(len(pairs), _PAIRS_AT_ONCE), workers=workers), np.bool_)]
    crowded = np.bincount(confirmed.reshape(-1), minlength=len(thumbnails)) >= _CROWD
    confirmed = _sift(confirmed, crowded, thumbnails)
    return NearDuplicates(confirmed, _cluster(confirmed, crowded, thumbnails), detailed)


def _slack(sizes: NDArray[np.int32], pairs: Pairs) -> NDArray[np.floating[Any]]:
    """(k) how much more than usual two pictures may differ: one made smaller than 64 pixels has lost detail."""
    one, other = sizes[pairs[:, 0]], sizes[pairs[:, 1]]
    shorter = np.minimum(one.min(1), other.min(1))
    return np.where((one == other).all(1), 1.0, np.clip(_SMALL / shorter, 1, _CLUSTER_SLACK))


def _sift(confirmed: Pairs, crowded: NDArray[np.bool_], thumbnails: NDArray[np.uint8]) -> Pairs:
    """The pairs, those between two images of a crowd only if they are closer than look-alikes of other things are."""
    kept: NDArray[np.bool_] = ~np.all(crowded[confirmed], axis=1)
    for part in _slices(len(confirmed), _PAIRS_AT_ONCE):
        doubtful = np.flatnonzero(~kept[part]) + part.start
        one, other = confirmed[doubtful].T
        kept[doubtful] = same_picture(thumbnails[one], thumbnails[other], slack=_CROWD_SLACK, marks=False)
    return confirmed[kept]


def candidate_pairs(hashes: NDArray[np.float32], *, seed: int = 0) -> Pairs:
    """(m, 2) pairs of n perceptual hashes (n, 42) that are near, each once and ascending; m is at most NEAREST * n."""
    count = len(hashes)
    if count < 2:
        return np.zeros((0, 2), dtype=np.int64)
    random = np.random.default_rng(seed)
    lengths = (hashes**2).sum(1)
    codes = np.zeros(0, dtype=np.int64)
    for _ in range(TREES):
        leaves = _leaves(hashes, random)
        named = [_near_in_leaves(hashes, lengths, leaves[rows]) for rows in _slices(len(leaves), _PAIRS_AT_ONCE)]
        codes = _distinct(np.concatenate([codes, *named]))
    return _nearest(np.stack(np.divmod(codes, count), axis=1), hashes)


def _leaves(hashes: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.int64]:
    """(leaves, size) indices of the images that one tree leaves together. An image may be in two neighbouring leaves."""
    count = len(hashes)
    depth = max(0, int(np.ceil(np.log2(count / LEAF))))
    node = np.zeros(count, dtype=np.int64)
    order = np.arange(count)
    for level in range(1, depth + 1):
        mixture = hashes @ random.standard_normal(hashes.shape[1], dtype=np.float32)
        low, high = mixture.min(), mixture.max()
        # By node, and within by the mixture's value: then halving each node is halving its stretch of the order.
        order = np.argsort(node + (mixture - low) / (1.01 * (high - low) + 1e-6))
        node[order] = np.arange(count) * 2**level // count
    starts = -(-np.arange(2**depth) * count // 2**depth)
    size = -(-count // 2**depth)
    leaves: NDArray[np.int64] = order[np.minimum(starts[:, None] + np.arange(size), count - 1)]
    return leaves


def _near_in_leaves(
    hashes: NDArray[np.float32], lengths: NDArray[np.float32], leaves: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Pairs as first * n + second: for every image of the `leaves` (l, size) the nearest others there that are near."""
    members, squares = hashes[leaves], lengths[leaves]
    distances = squares[:, :, None] + squares[:, None, :] - 2 * members @ members.transpose(0, 2, 1)
    distances[leaves[:, :, None] == leaves[:, None, :]] = np.inf
    few = min(NEAREST // 2, leaves.shape[1] - 1)
    nearest = np.argpartition(distances, few - 1, axis=2)[:, :, :few]
    limits = _FARTHEST * ((squares[:, :, None] + np.take_along_axis(squares[:, None, :], nearest, axis=2)) / 2 + _NOISE)
    leaf, member, rank = np.nonzero(np.take_along_axis(distances, nearest, axis=2) < limits)
    one, other = leaves[leaf, member], leaves[leaf, nearest[leaf, member, rank]]
    return _distinct(np.minimum(one, other) * len(hashes) + np.maximum(one, other))


def _distinct(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each code once, ascending. By sorting: np.unique hashes integers, which took ten times as long here."""
    codes = np.sort(codes)
    kept: NDArray[np.int64] = codes[np.append(True, codes[1:] != codes[:-1])[: len(codes)]]
    return kept


def _nearest(pairs: Pairs, hashes: NDArray[np.float32]) -> Pairs:
    """The pairs in which one image is among the NEAREST / 2 nearest to the other of those before it, or after it."""
    parts = (hashes[pairs[part, 0]] - hashes[pairs[part, 1]] for part in _slices(len(pairs), 64 * _PAIRS_AT_ONCE))
    distances = _joined(((part**2).sum(1) for part in parts), np.float32)
    kept = np.zeros(len(pairs), dtype=np.bool_)
    for image in pairs.T:
        order = np.argsort(image + distances.astype(np.float64) / (1 + distances))
        image = image[order]
        kept[order] |= np.arange(len(order)) - np.searchsorted(image, image) < NEAREST // 2
    return pairs[kept]


def _cluster(confirmed: Pairs, crowded: NDArray[np.bool_], thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n) for each image the middle of its cluster. Two clusters join if all of the smaller look like its middle."""
    clusters = np.arange(len(thumbnails))
    members: dict[int, list[int]] = {}
    known = {*map(tuple, confirmed.tolist())}
    refused: set[tuple[int, int]] = set()
    for pair in confirmed.tolist():
        one, other = (members.get(int(clusters[image]), [int(clusters[image])]) for image in pair)
        large, small = (one, other) if len(one) >= len(other) else (other, one)
        middle = large[0]
        if middle == small[0] or (middle, small[0]) in refused:
            continue
        unsure = [image for image in small if (min(middle, image), max(middle, image)) not in known]
        slack, marks = (_CLUSTER_SLACK * _CROWD_SLACK, False) if crowded[middle] else (_CLUSTER_SLACK, True)
        middles = thumbnails[[middle] * len(unsure)]
        if not same_picture(middles, thumbnails[unsure], slack=slack, marks=marks).all():
            refused |= {(middle, small[0]), (small[0], middle)}  # more members would not change that
            continue
        members[middle] = large + small
        members.pop(small[0], None)
        clusters[small] = middle
    return clusters


def _joined(parts: Iterable[NDArray[Scalar]], kind: type[Scalar]) -> NDArray[Scalar]:
    """The parts in one array, which is of `kind` when there are none."""
    return np.concatenate([np.zeros(0, kind), *parts])


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
