"""The order of an epoch's rows: random, with the truth of every task spread evenly over the batches."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.truth import Strata

SHARES = {"natural": 1.0, "balanced": 0.5, "equal": 0.0}
"""Exponents of `repeats`, by their names."""


def mixed_order(patterns: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """A permutation of n rows. patterns: (n) which tasks' truth each has, as a number.

    Rows of one pattern come in random order and at even distances, so that any batch holds its share of each pattern, give or
    take one. Of a single pattern it is the generator's permutation.
    """
    order = random.permutation(len(patterns))
    names, of_row = np.unique(patterns[order], return_inverse=True)
    if len(names) < 2:
        return order
    places = np.empty(len(order))
    for pattern, begin in enumerate(random.random(len(names))):
        own = np.flatnonzero(of_row == pattern)
        places[own] = (np.arange(len(own)) + begin) / len(own)
    return order[np.argsort(places, kind="stable")]


def balanced_weights(strata: Sequence[Strata]) -> NDArray[np.float64]:
    """(n) how likely each row is to be drawn, in sum 1, so that every stratum comes as often as any other: one over the size of
    the rarest that it is in. strata: of the tasks (Truth.strata), of n rows each: classes, tags, parts of the numbers, and all
    that a picture's objects or mask hold."""
    weights = np.zeros(len(strata[0]))
    for own in strata:
        held = own.columns["stratum"] if isinstance(own, Ragged) else own
        rarity = 1 / np.maximum(np.bincount(held), 1)
        rows = np.repeat(np.arange(len(own)), own.lengths) if isinstance(own, Ragged) else np.arange(len(own))
        np.maximum.at(weights, rows, rarity[held])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def drawn_order(
    weights: NDArray[np.float64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As many rows as there are, drawn with replacement, and which time each of them comes, from 0."""
    order = random.choice(len(weights), len(weights), p=weights)
    by_row = np.argsort(order, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(order[by_row])) + 1])
    times = np.empty(len(order), np.int64)
    times[by_row] = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    return order, times


def repeats(present: NDArray[np.bool_], exponent: float, random: np.random.Generator) -> NDArray[np.int64]:
    """(n) how often each of n rows comes in an epoch, at least once, so that tasks with few rows have more of it.

    present: (tasks, n) whether a row has the task's truth. exponent: 0 repeats until each task has as many rows as the largest,
    1 leaves all as they are; between them a task of k rows beside one of m comes to m^(1 - exponent) k^exponent. A row with the
    truth of several tasks comes as often as the rarest asks.
    """
    counts = present.sum(axis=1)
    asked = (counts.max(initial=1) / np.maximum(counts, 1)) ** (1 - exponent)
    times = np.where(present, asked[:, None], 1.0).max(axis=0, initial=1.0)
    whole: NDArray[np.int64] = np.floor(times + 1e-9).astype(np.int64)
    whole += random.random(len(times)) < times - whole - 1e-9
    return whole


def repeated(
    present: Sequence[NDArray[np.bool_]], shares: str, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An epoch's rows, some of them several times, and the number of each copy, from 0. present: a task each, (n) whether a row
    has its truth. shares: of SHARES."""
    times = repeats(np.stack(present), SHARES[shares], np.random.default_rng([seed, len(present[0])]))
    copies = np.concatenate([np.arange(each) for each in times.tolist()])
    return np.repeat(np.arange(len(times)), times), copies.astype(np.int64)
