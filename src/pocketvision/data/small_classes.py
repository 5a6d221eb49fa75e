"""Classes with too few pictures to learn from and to measure on, left out by request."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.left_out import LeftOutCounter, merged
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.printable import shortened

_NAMED = 5


def without_small_classes(samples: Samples, min_per_class: int, clusters: NDArray[np.integer] | None = None) -> Samples:
    """The samples of classes with at least `min_per_class` pictures; the others are counted as left out.

    clusters: (n) pictures that a split must not part (duplicates, groups) count once. Raises UsageError when fewer than two
    classes would be left of several.
    """
    chosen = large_enough(samples, min_per_class, clusters)
    return samples if chosen.all() else only_classes(samples, chosen, min_per_class)


def large_enough(
    samples: Samples, min_per_class: int, clusters: NDArray[np.integer] | None = None
) -> NDArray[np.bool_]:
    """(classes) whether each has `min_per_class` pictures that a split may part. Raises UsageError for a number below 1, and
    for pictures that are in no class."""
    if min_per_class < 1:
        raise UsageError(f"--min-per-class is {min_per_class}; expected 1 or more images.")
    if min_per_class == 1:
        return np.ones(len(samples.class_names), np.bool_)
    if samples.classes is None:
        why = "a picture without one of its tags would be told to lack it; take rare tags out of the data, with their pictures"
        have = f"these have {', '.join(samples.truth)}{f' ({why})' if samples.class_names else ''}"
        raise UsageError(f"{samples.root}: --min-per-class counts pictures of classes, and {have}. Leave it out.")
    labels = samples.labels
    if clusters is not None:
        _, first = np.unique(np.stack([clusters, labels]), axis=1, return_index=True)
        labels = labels[first]
    return np.bincount(labels[labels >= 0], minlength=len(samples.class_names)) >= min_per_class


def only_classes(samples: Samples, chosen: NDArray[np.bool_], min_per_class: int) -> Samples:
    """The samples of the classes that are chosen, (classes) booleans, and those without any; the others are named and counted
    as left out."""
    counts = samples.class_counts()
    small = [f"{shortened(samples.class_names[place], 40)} ({counts[place]})" for place in np.flatnonzero(~chosen)]
    if chosen.sum() < 2 <= len(chosen):
        raise UsageError(
            f"{samples.root}: --min-per-class {min_per_class} leaves {chosen.sum()} of {len(chosen)} classes; a classifier "
            f"needs two. Too small: {_some(small)}. Take a smaller number, or add images."
        )
    counter = LeftOutCounter()
    counter.add("small_class", _some(small), int(counts[~chosen].sum()))
    names = tuple(name for name, stays in zip(samples.class_names, chosen, strict=True) if stays)
    kept = samples.select(np.append(chosen, True)[samples.labels]).in_classes(names)  # -1 is no class
    return replace(kept, left_out=merged(samples.left_out, counter.result()))


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
