"""Likely groups: pictures of the same object, person, burst or scene, from frozen features and the order they were taken in.

A random split puts such pictures on both sides, and the validation flatters. Two kinds of evidence, each held against a null
that the data itself gives, so that nothing here knows any data set:

- **Likeness.** The same object in an other class is rare, so the nearest picture of *other* classes shows how alike pictures
  are by chance. Pictures are grouped where their nearest of the same class is nearer than that far too often.
- **Order.** If file names or capture times told nothing, neighbours in them would be as alike as any two pictures (a permutation
  test). Where they are more alike, the order is cut where the likeness breaks off.

Features are centred within each class, so that being of one class makes nobody alike. Needs numpy alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.splits import unite
from pocketvision.printable import counted

Vectors = NDArray[np.float32]
Groups = NDArray[np.int64]

FEWEST = 80
"""Images below which nothing is searched: a null of a few dozen pictures tells nothing."""

_DIMENSIONS = 96
_BLOCK = 1 << 24  # similarities at a time: 64 MB, and some more to sort them
_NULL_ROWS = 4000
_NEAREST = 16

# A limit is taken where pictures of the same class lie above it this many times as often as those of others, and where
# at least this share of all pictures does. Clothing has 12 at most, sign digits 1, bursts of 8 views 100 to 900.
_TIMES_CHANCE = 25.0
_SHARE = 0.2
# Once there is evidence; set on seeds 0 and 1 of benchmarks/grouped_split.py, where the first limit alone was 11.5 points off.
_TIMES_CHANCE_LOOSELY = 2.0
# Groups of one object end somewhere: at most this share of the grouped pictures reaches the limit with one of its class outside
# its group. It is up to 0.02 for bursts of 2 to 8 views; 0.16 for handwritten digits, which blend into each other.
_OUTSIDE = 0.08

_PERMUTATIONS = 100
_DEVIATIONS = 8.0
_LIKENESS_IN_ORDER = 0.08
_LONGEST = 200


@dataclass(frozen=True, eq=False)
class LikelyGroups:
    """of: (n) numbers from 0 of pictures that likely belong together, -1 for a picture by itself.

    why: what was found, a phrase each; empty where there is no strong evidence, and then no groups. order: the name of the order
    that told; limit: the similarity from which pictures were linked; None where that kind told nothing.
    """

    of: Groups
    why: tuple[str, ...] = ()
    order: str | None = None
    limit: float | None = None
    likeness: Mapping[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many groups of two or more there are."""
        return len(np.unique(self.of[self.of >= 0]))

    @property
    def images(self) -> int:
        """How many pictures are in one."""
        return int((self.of >= 0).sum())

    @property
    def text(self) -> str:
        """What was found, in a sentence."""
        if not self.why:
            return (
                "No likely groups: pictures are no more alike than their classes make them, in no order that is known."
            )
        return (
            f"{self.images:,} of {counted(len(self.of), 'image')} likely belong to {counted(self.count, 'group')} of the same "
            f"object, person or scene ({'; '.join(self.why)})."
        )


def likely_groups(
    features: Vectors, labels: NDArray[np.integer] | None = None, orders: Mapping[str, NDArray[np.int64]] | None = None
) -> LikelyGroups:
    """Search n pictures by `features` (n, d), of a frozen backbone and a clean view.

    labels: (n) classes, -1 without one; None where there are no classes, and then likeness alone tells nothing. orders: by name,
    the pictures' indices as they were taken (capture_orders.py). Memory: a block of similarities, never n x n.
    """
    none = np.full(len(features), -1, np.int64)
    if len(features) < FEWEST:
        return LikelyGroups(none)
    classes = np.zeros(len(features), np.int64) if labels is None else labels.astype(np.int64)
    vectors = within_classes(features, classes)
    told, likeness = _telling(vectors, orders or {})
    alike, limit, share = (None, None, 0.0) if labels is None else _by_likeness(vectors, classes, loosely=told is None)
    parts, why = [], []
    if alike is not None:
        parts.append(alike)
        why.append(f"{share:.0%} have a picture of their class nearer than chance allows")
    if told is not None:
        parts.append(_stretches(vectors, (orders or {})[told], likeness[told]))
        why.append(f"neighbours by {told} are alike: {likeness[told]:.2f} where chance is 0")
    if not parts:
        return LikelyGroups(none, likeness=likeness)
    clusters = parts[0] if len(parts) == 1 else unite(len(features), _links(parts[1]), parts[0])
    return LikelyGroups(_of_two_or_more(clusters), tuple(why), told, limit, likeness)


def within_classes(features: Vectors, classes: NDArray[np.int64]) -> Vectors:
    """(n, at most 96) of length 1: what tells a picture from others of its class, the main directions evened out by half.

    Pictures of one class that are strangers come to a similarity around 0.
    """
    centred = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    for each in np.unique(classes):
        rows = classes == each
        centred[rows] -= centred[rows].mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    values, directions = values[::-1][:_DIMENSIONS], directions[:, ::-1][:, :_DIMENSIONS]
    kept = values > max(float(values[0]), 1e-12) * 1e-5
    # The square root of the usual whitening: fully whitened, noise weighs as much as what pictures show.
    evened = (centred @ directions[:, kept]) / values[kept] ** 0.25
    vectors: Vectors = (evened / np.maximum(np.linalg.norm(evened, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return vectors


def _by_likeness(
    vectors: Vectors, classes: NDArray[np.int64], *, loosely: bool
) -> tuple[Groups | None, float | None, float]:
    """(n) clusters, the similarity from which pictures were linked, and the share that is nearer than chance allows; None, None
    and 0 without strong evidence.

    loosely: once there is evidence, others are linked too where twice as many of them come that near as by chance. A link that is
    missed leaves views of one object on both sides of a split; one too many only makes a group larger.
    """
    none = None, None, 0.0
    if len(np.unique(classes)) < 2:
        return none
    pairs, similarities, nearest = _nearest_of_class(vectors, classes)
    chance = _nearest_of_others(vectors, classes)
    limit = _limit(nearest, chance, _TIMES_CHANCE)
    if limit is None:
        return none
    order = np.argsort(-similarities, kind="stable")
    pairs, similarities = pairs[order], similarities[order]
    clusters = _agglomerate(vectors, pairs[similarities >= limit], limit / 2)
    outside = _nearest_outside(vectors, classes, clusters)
    grouped = np.bincount(clusters)[clusters] > 1
    if not grouped.any() or (outside[grouped] >= limit).mean() > _OUTSIDE:
        return none
    others = nearest[nearest < limit]
    many = len(others) >= _SHARE * len(nearest)
    lower = _limit(others, chance[chance < limit], _TIMES_CHANCE_LOOSELY) if loosely and many else None
    if lower is not None:
        clusters, limit = _agglomerate(vectors, pairs[similarities >= lower], lower / 2), lower
    return clusters, limit, float(grouped.mean())


def _nearest_of_class(
    vectors: Vectors, classes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """(m, 2) pairs of one class, the second among the nearest of the first; their similarities; and (n) the highest of each."""
    pairs, similarities, nearest = [], [], np.full(len(vectors), -1, np.float32)
    for each in np.unique(classes[classes >= 0]):
        rows = np.flatnonzero(classes == each)
        few = min(_NEAREST, len(rows) - 1)
        for part in _blocks(np.arange(len(rows) if few else 0), len(rows)):
            asked = rows[part]
            found = vectors[asked] @ vectors[rows].T
            found[np.arange(len(asked)), part] = -2
            places = np.argpartition(-found, few - 1, axis=1)[:, :few]
            values = np.take_along_axis(found, places, axis=1)
            nearest[asked] = values.max(axis=1)
            pairs.append(np.stack([np.repeat(asked, few), rows[places].reshape(-1)], axis=1))
            similarities.append(values.reshape(-1))
    return np.concatenate(pairs), np.concatenate(similarities), nearest


def _nearest_of_others(vectors: Vectors, classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Of every picture, or of 4,000, the highest similarity to one of another class: what chance comes to."""
    asked = np.flatnonzero(classes >= 0)
    if len(asked) > _NULL_ROWS:
        asked = np.sort(np.random.default_rng(0).choice(asked, _NULL_ROWS, replace=False))
    nearest = []
    for rows in _blocks(asked, len(vectors)):
        found = vectors[rows] @ vectors.T
        found[classes[rows][:, None] == classes[None]] = -2
        nearest.append(found.max(axis=1))
    return np.concatenate(nearest)


def _blocks(rows: NDArray[np.int64], others: int) -> list[NDArray[np.int64]]:
    """The rows in parts, each of which has at most 16 million similarities to so many others."""
    most = max(_BLOCK // max(others, 1), 1)
    return [rows[start : start + most] for start in range(0, len(rows), most)]


def _limit(nearest: NDArray[np.float32], chance: NDArray[np.float32], times: float) -> float | None:
    """The lowest similarity that pictures of one class reach so many times as often as chance does, and a fifth of all reach."""
    tried = np.unique(np.quantile(chance, np.linspace(0.5, 1, 501)))
    tried = np.append(tried, tried[-1] + 1e-4)
    above = 1 - np.searchsorted(np.sort(nearest), tried) / len(nearest)
    by_chance = (len(chance) - np.searchsorted(np.sort(chance), tried) + 1) / (len(chance) + 1)
    strong = np.flatnonzero((above >= _SHARE) & (above >= times * by_chance))
    return float(tried[strong[0]]) if len(strong) else None


def _agglomerate(vectors: Vectors, pairs: NDArray[np.int64], least: float) -> Groups:
    """(n) clusters: linked pictures join, the nearest first, where all of both are alike on the mean, at `least` so.

    Single linkage would run along rows of pictures that slowly change into others.
    """
    clusters = np.arange(len(vectors))
    members: dict[int, list[int]] = {}
    sums: dict[int, NDArray[np.float32]] = {}
    for one, other in pairs.tolist():
        first, second = int(clusters[one]), int(clusters[other])
        if first == second:
            continue
        left, right = members.get(first, [first]), members.get(second, [second])
        sum_left, sum_right = sums.get(first, vectors[first]), sums.get(second, vectors[second])
        if sum_left @ sum_right < least * len(left) * len(right):
            continue
        if len(left) < len(right):
            first, second, left, right = second, first, right, left
        clusters[right] = first
        members[first], sums[first] = left + right, sum_left + sum_right
        members.pop(second, None)
        sums.pop(second, None)
    return np.unique(clusters, return_inverse=True)[1].astype(np.int64)


def _nearest_outside(vectors: Vectors, classes: NDArray[np.int64], clusters: Groups) -> NDArray[np.float32]:
    """(n) the highest similarity of each picture to one of its class in another cluster; -2 where there is none."""
    nearest = np.full(len(vectors), -2, np.float32)
    for each in np.unique(classes[classes >= 0]):
        rows = np.flatnonzero(classes == each)
        for asked in _blocks(rows, len(rows)):
            found = vectors[asked] @ vectors[rows].T
            found[clusters[asked][:, None] == clusters[rows]] = -2
            nearest[asked] = found.max(axis=1)
    return nearest


def _telling(vectors: Vectors, orders: Mapping[str, NDArray[np.int64]]) -> tuple[str | None, dict[str, float]]:
    """The order whose neighbours are the most alike, where that is far beyond chance; and each order's mean similarity."""
    random, likeness, strong = np.random.default_rng(0), {}, {}
    for name, order in orders.items():
        if len(order) < FEWEST:
            continue
        own = vectors[order]
        found = float((own[1:] * own[:-1]).sum(1).mean())
        shuffled = (own[random.permutation(len(own))] for _ in range(_PERMUTATIONS))
        chance = np.array([(each[1:] * each[:-1]).sum(1).mean() for each in shuffled])
        likeness[name] = found
        if found >= _LIKENESS_IN_ORDER and found > chance.mean() + _DEVIATIONS * chance.std():
            strong[name] = found
    return (max(strong, key=strong.__getitem__) if strong else None), likeness


def _stretches(vectors: Vectors, order: NDArray[np.int64], likeness: float) -> Groups:
    """(n) clusters that are stretches of `order`, at most 200 long; what is not in it is by itself.

    The cut of the order that makes the sum over all pairs within stretches of (similarity - a sixth of the neighbours' mean)
    the largest, by dynamic programming. A sixth, not half: likeness falls with distance, and a missed cut makes a group larger
    than it had to be where one too many puts a person on both sides.
    """
    count, least = len(order), likeness / 6
    longest = min(_LONGEST, max(2, count // 10))
    own = vectors[order]
    gains = np.zeros((count, longest), np.float32)  # of the stretch of each length that ends at each place
    sums, squares = own.copy(), np.ones(count, np.float32)
    for length in range(2, longest + 1):
        sums[length - 1 :] += own[: count - length + 1]
        squares = (sums**2).sum(axis=1)
        gains[length - 1 :, length - 1] = ((squares - length) / 2 - least * length * (length - 1) / 2)[length - 1 :]
    best, lengths = np.zeros(count + 1), np.ones(count, np.int64)
    for end in range(count):
        possible = min(longest, end + 1)
        totals = best[end + 1 - possible : end + 1][::-1] + gains[end, :possible]
        lengths[end] = int(totals.argmax()) + 1
        best[end + 1] = totals[lengths[end] - 1]
    clusters = np.arange(len(vectors))
    end = count
    while end > 0:
        start = end - int(lengths[end - 1])
        clusters[order[start:end]] = order[start]
        end = start
    return clusters


def _links(clusters: Groups) -> NDArray[np.int64]:
    """(n, 2) every picture with the first of its cluster."""
    _, first, member_of = np.unique(clusters, return_index=True, return_inverse=True)
    return np.stack([first[member_of], np.arange(len(clusters))], axis=1)


def _of_two_or_more(clusters: Groups) -> Groups:
    """The clusters numbered from 0, -1 for those of one picture."""
    _, member_of, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    numbers = np.where(sizes > 1, np.cumsum(sizes > 1) - 1, -1)
    return numbers[member_of].astype(np.int64)
