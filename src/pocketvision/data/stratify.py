"""Sharing out clusters of samples among splits, class by class as evenly as whole clusters allow.

After iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", 2011), for
clusters that may hold many images, with a repair at the end that sees to it that train and val lack no class.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

TRAIN, VAL, TEST = 0, 1, 2

# The repair ponders so many clusters of a class, the smallest, and makes so many moves, before it gives up.
_CANDIDATES = 64
_MOVES = 1000


def assign_clusters(
    labels: NDArray[np.integer], clusters: NDArray[np.integer], shares: Sequence[float], seed: int
) -> tuple[NDArray[np.int8], list[int]]:
    """The split of each cluster, (clusters) int8, and the classes that train or val had to go without.

    labels: (n). clusters: (n), from 0 without gaps. shares: of train, val and test, in sum 1; a split of share 0 stays
    empty. Time O(n log n).
    """
    generator = np.random.default_rng(seed)
    table = _Table.of(labels, clusters)
    targets = _targets(np.bincount(labels), shares)
    split_of = np.full(len(table.sizes), TRAIN, dtype=np.int8)
    remaining = _assign_large(table, targets, shares, split_of, generator)
    _assign_single(table, remaining, split_of, generator)
    return split_of, _repair(table, shares, split_of, generator)


class _Table(NamedTuple):
    """How many images of a class a cluster holds, as m rows ordered by cluster; cluster c has rows starts[c]:starts[c + 1].

    clusters, classes, counts: (m). starts: (clusters + 1). sizes: (clusters) images in all.
    """

    clusters: Integers
    classes: Integers
    counts: Integers
    starts: Integers
    sizes: Integers

    @classmethod
    def of(cls, labels: NDArray[np.integer], clusters: NDArray[np.integer]) -> "_Table":
        class_count = int(labels.max(initial=0)) + 1
        cells, counts = np.unique(clusters.astype(np.int64) * class_count + labels, return_counts=True)
        owners, classes = np.divmod(cells, class_count)
        sizes = np.bincount(clusters)
        return cls(owners, classes, counts, np.searchsorted(owners, np.arange(len(sizes) + 1)), sizes)


def _targets(class_counts: Integers, shares: Sequence[float]) -> Integers:
    """(classes, 3) how many images of a class each split should get: rounded shares, but one for val and one for test."""
    val, test = (
        np.maximum(np.floor(class_counts * share + 0.5).astype(np.int64), int(share > 0)) for share in shares[1:]
    )
    test = np.minimum(test, np.maximum(class_counts - 2, 0))
    val = np.minimum(val, np.maximum(class_counts - 1 - test, 0))
    return np.stack([class_counts - val - test, val, test], axis=1)


def _assign_large(
    table: _Table,
    targets: Integers,
    shares: Sequence[float],
    split_of: NDArray[np.int8],
    generator: np.random.Generator,
) -> Integers:
    """Place every cluster of several images, largest first, where it brings the classes nearest to their targets.

    Nearest in the sum of squared differences, each relative to its target. Returns (classes, 3) what is still to be given.
    """
    shuffled = np.argsort(generator.random(len(table.sizes)))
    order = shuffled[np.argsort(-table.sizes[shuffled], kind="stable")]
    order = order[table.sizes[order] > 1]
    remaining = targets.tolist()
    weights = (1 / np.maximum(targets, 1)).tolist()
    open_splits = [split for split, share in enumerate(shares) if share > 0]
    starts, classes, counts = table.starts.tolist(), table.classes.tolist(), table.counts.tolist()
    for cluster in order.tolist():
        rows = range(starts[cluster], starts[cluster + 1])
        best, least = TRAIN, float("inf")
        for split in open_splits:
            cost = 0.0
            for row in rows:
                of_class, count = classes[row], counts[row]
                cost += count * (count - 2 * remaining[of_class][split]) * weights[of_class][split]
            if cost < least:
                best, least = split, cost
        split_of[cluster] = best
        for row in rows:
            remaining[classes[row]][best] -= counts[row]
    return np.array(remaining, dtype=np.int64)


def _assign_single(
    table: _Table, remaining: Integers, split_of: NDArray[np.int8], generator: np.random.Generator
) -> None:
    """Place the clusters of one image: val and test get what they still lack, train the rest."""
    singles = np.flatnonzero(table.sizes == 1)
    classes = table.classes[table.starts[singles]]
    order = np.lexsort((generator.random(len(singles)), classes))
    classes = classes[order]
    rank = np.arange(len(singles)) - np.searchsorted(classes, classes)
    val = np.maximum(remaining[:, VAL], 0)
    test = np.maximum(remaining[:, TEST], 0)
    split_of[singles[order]] = np.select(
        [rank < val[classes], rank < (val + test)[classes]], [np.int8(VAL), np.int8(TEST)], np.int8(TRAIN)
    )


def _repair(
    table: _Table, shares: Sequence[float], split_of: NDArray[np.int8], generator: np.random.Generator
) -> list[int]:
    """Move clusters until no split lacks a class; return the classes for which that can not be, or was not found.

    A walk in the manner of WalkSAT: give a class that is lacking the cluster whose loss hurts least, now and then any
    cluster. For classes over clusters of their own it succeeds at once; where groups tie classes together it searches.
    """
    clusters_of_class = np.bincount(table.classes)
    open_splits = np.array(shares) > 0
    essential = int(open_splits[:TEST].sum())
    required = open_splits & (clusters_of_class >= essential)[:, None]
    required[:, TEST] &= clusters_of_class > essential
    required[:, TRAIN] = clusters_of_class > 0
    present = np.zeros_like(required, dtype=np.int64)
    np.add.at(present, (table.classes, split_of[table.clusters]), 1)
    by_class = table.clusters[np.argsort(table.classes, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(clusters_of_class)])
    for _ in range(_MOVES + len(clusters_of_class)):
        lacking = np.argwhere(required & (present == 0))
        if not len(lacking):
            break
        # Test last: it is not worth a class that train or val would lose.
        vital = lacking[lacking[:, 1] != TEST]
        of_class, split = generator.choice(vital if len(vital) else lacking)
        candidates = by_class[starts[of_class] : starts[of_class + 1]]
        candidates = candidates[np.argsort(table.sizes[candidates], kind="stable")[:_CANDIDATES]]
        losses = [_loss(table, cluster, split, split_of, present, required) for cluster in candidates]
        place = min(range(len(candidates)), key=lambda place: (losses[place], table.sizes[candidates[place]]))
        if split == TEST and losses[place] >= 0:
            required[of_class, TEST] = False
            continue
        if split != TEST and losses[place] >= 0 and generator.random() < 0.2:
            place = int(generator.integers(len(candidates)))
        cluster = candidates[place]
        classes = table.classes[table.starts[cluster] : table.starts[cluster + 1]]
        present[classes, split_of[cluster]] -= 1
        present[classes, split] += 1
        split_of[cluster] = split
    bare = (present[:, :TEST] == 0) & open_splits[:TEST]
    return [int(of_class) for of_class in np.flatnonzero(bare.any(axis=1) & (clusters_of_class > 0))]


def _loss(
    table: _Table, cluster: int, split: int, split_of: NDArray[np.int8], present: Integers, required: NDArray[np.bool_]
) -> float:
    """How many classes a split would lose, less how many it would win, if `cluster` moved to `split`; test counts half."""
    source = int(split_of[cluster])
    classes = table.classes[table.starts[cluster] : table.starts[cluster + 1]]
    lost = (required[classes, source] & (present[classes, source] == 1)).sum()
    won = (required[classes, split] & (present[classes, split] == 0)).sum()
    return float(lost * (0.5 if source == TEST else 1) - won * (0.5 if split == TEST else 1))
