"""Balance between classes: replicas of images of small classes, and weights of classes in the loss."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import quoted

ClassWeights = str | Mapping[str, float]
"""none, balanced, or weights by class name."""


@dataclass(frozen=True, eq=False)
class Replicas:
    """Further entries of a training split, each an augmented copy of one of its images.

    indices: (m) int64, which image, as a place in the labels that were balanced.
    numbers: (m) int32, which copy of that image, from 1: the key of its augmented view.
    """

    indices: NDArray[np.int64]
    numbers: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.indices)


def balance_plan(labels: NDArray[np.integer], class_names: Sequence[str], balance_to: int, *, seed: int) -> Replicas:
    """The entries to add so that every class has at least `balance_to` images; nothing is ever taken away.

    labels: (n) of the training split alone. Every image of a class is copied once before one is copied twice; which
    images get the last round is drawn from `seed`. Entries come by class. Raises UsageError when a class has no image.
    """
    if balance_to < 1:
        raise UsageError(f"Classes can not be balanced to {balance_to} images; expected 1 or more.")
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=len(class_names))
    if not counts.all():
        name = class_names[int(np.flatnonzero(counts == 0)[0])]
        raise UsageError(
            f"Class {quoted(name)} has no training image to copy, so it can not be balanced to {balance_to}."
        )
    generator = np.random.default_rng(seed)
    indices, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for members in np.split(by_class, np.cumsum(counts)[:-1]):
        order = generator.permutation(members)
        copies = np.arange(max(balance_to - len(members), 0))
        indices.append(order[copies % len(members)])
        numbers.append((copies // len(members) + 1).astype(np.int32))
    return Replicas(np.concatenate(indices), np.concatenate(numbers))


def class_weights(
    counts: NDArray[np.integer], class_names: Sequence[str], option: ClassWeights = "none"
) -> NDArray[np.float32]:
    """(classes) float32, what an image of each class weighs in the loss.

    counts: (classes) images of the training split, n in all. "none" weighs all 1; "balanced" weighs
    n / (classes * images of the class), so that every class weighs the same in sum; a mapping gives weights by class
    name, 1 for those it leaves out. Raises UsageError for an unknown name (with near matches) and a weight that is no
    number above 0.
    """
    weights = np.ones(len(class_names), dtype=np.float32)
    if option == "none":
        return weights
    if option == "balanced":
        # A class without images weighs nothing either way; 1 keeps the division defined.
        return np.asarray(counts.sum() / (len(class_names) * np.maximum(counts, 1)), np.float32)
    if isinstance(option, str):
        raise UsageError(
            f'Class weights {quoted(option)} are unknown. Expected "none", "balanced" or a weight for each name.'
        )
    place = {name: index for index, name in enumerate(class_names)}
    for name, weight in option.items():
        if name not in place:
            raise unknown_name("class", name, class_names)
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(f"The weight of class {quoted(name)} is {weight}; expected a number above 0.")
        weights[place[name]] = weight
    return weights
