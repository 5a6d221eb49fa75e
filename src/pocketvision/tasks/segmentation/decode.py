"""From a graph's logits to Segmentation: back to the image's pixels, and there the class with the largest."""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import THRESHOLDS, TaskManifest, Tensors
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.logits import Logits, certainty
from pocketvision.tasks.segmentation.truth import MOST_CLASSES, NOTHING, Mask, value_counts
from pocketvision.tasks.task import Detail

LOGITS = "logits"
"""The role of the output: (N, classes, h, w), at any stride."""

_FEW = 16
"""Up to so many classes, comparing with each takes less time than counting all values."""

LEAST = 1e-6
"""A threshold below this, or above 1 less this, counts as this."""


def decode(outputs: Tensors, placements: Sequence[Placement], task: TaskManifest, detail: Detail) -> list[Segmentation]:
    """One answer for each of N inputs, in pixels of the upright images. `detail` changes nothing but what is told (wire.py)."""
    del detail
    offsets = offsets_of(task)
    return [
        answered(Logits(values, placement), task.labels, offsets)
        for values, placement in zip(outputs[LOGITS], placements, strict=True)
    ]


def answered(logits: Logits, labels: tuple[str, ...], offsets: NDArray[np.float32]) -> Segmentation:
    """offsets: (classes) added to the logits."""
    mask = mask_of(logits, offsets)
    counts = pixels_of(mask, len(labels))
    sure = certainty(np.nan_to_num(logits.values.astype(np.float32, copy=False)))
    return Segmentation(labels, logits.size, counts / mask.size, mask, sure, logits)


def pixels_of(mask: Mask, classes: int) -> NDArray[np.int64]:
    """(classes) how many pixels each has."""
    if classes > _FEW:
        return value_counts(mask)[:classes]
    return np.array([np.count_nonzero(mask == place) for place in range(classes)], np.int64)


def mask_of(logits: Logits, offsets: NDArray[np.float32]) -> Mask:
    """(height, width) of the image; NOTHING where the input does not show it."""
    mask = logits.classes(offsets)
    down, across = logits.seen
    mask[~down] = NOTHING
    mask[:, ~across] = NOTHING
    return mask


def offsets_of(task: TaskManifest) -> NDArray[np.float32]:
    """(classes) that make the class with the largest ratio of probability and threshold the one with the largest logit. Zeros
    where the bundle ships no thresholds."""
    kept = thresholds_of(task)
    if not kept:
        return np.zeros(len(task.labels), np.float32)
    return np.array([-log(min(max(kept[name], LEAST), 1 - LEAST)) for name in task.labels], np.float32)


def thresholds_of(task: TaskManifest) -> dict[str, float]:
    """Of both classes where there are two; none where the bundle ships none. Raises ValueError for what is no number in [0, 1],
    of no class, or of one of more than two classes."""
    kept = task.postprocessing.get(THRESHOLDS, {})
    if not isinstance(kept, dict) or set(kept) - set(task.labels):
        raise ValueError(f"{THRESHOLDS} is {str(kept)[:80]}; expected one of each class")
    wrong = {name: each for name, each in kept.items() if not isinstance(each, int | float) or not 0 <= each <= 1}
    if wrong:
        raise ValueError(f"{THRESHOLDS} has {str(wrong)[:80]}; expected numbers from 0 to 1")
    if not kept:
        return {}
    if len(task.labels) == 2 and len(kept) == 1:
        (name, value), other = next(iter(kept.items())), next(each for each in task.labels if each not in kept)
        return {name: float(value), other: 1 - float(value)}
    if len(kept) != len(task.labels):
        raise ValueError(f"{THRESHOLDS} has {len(kept)} of {len(task.labels)} classes; expected all")
    return {name: float(each) for name, each in kept.items()}


def check(task: TaskManifest) -> None:
    """Raises ValueError for what a bundle can not say of such a task."""
    if not 1 < len(task.labels) <= MOST_CLASSES:
        raise ValueError(f"there are {len(task.labels)} classes; expected 2 to {MOST_CLASSES}")
    thresholds_of(task)
