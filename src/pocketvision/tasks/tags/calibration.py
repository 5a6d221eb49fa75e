"""Each tag's probability made honest, and the threshold of its best F1."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.tags.decode import THRESHOLD
from pocketvision.tasks.thresholds import UnmetWishError, Wish, choose

_STEPS = 40
_LARGEST_STEP = 1.0
_LOWEST, _HIGHEST = np.log(0.05), np.log(20.0)


def fit_scales(
    logits: NDArray[np.floating], marks: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(tags,) scales in [0.05, 20] and offsets, such that sigmoid(scale * logit + offset) are the most likely to give `marks`.

    logits, marks: (n, tags). Platt's scaling (1999) of each tag alone: losses that weigh the rare yes more than the frequent
    no shift probabilities, which one temperature could not undo. A weak pull, of about an image, keeps scales near 1 and
    offsets near 0: a tag without a mistake would have no minimum. Both are those where there are no images.
    """
    values, truth = logits.astype(np.float64), marks.astype(np.float64)
    power, offset = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for _ in range(_STEPS):
        scaled = np.exp(power) * values
        share = sigmoid(scaled + offset)
        error, spread = share - truth, np.maximum(share * (1 - share), 1e-6)
        slope = np.stack([(error * scaled).sum(0) + power, error.sum(0) + offset])
        one, other = (spread * scaled**2).sum(0) + 1, spread.sum(0) + 1
        mixed = (spread * scaled).sum(0)
        determinant = one * other - mixed**2
        step = np.stack([other * slope[0] - mixed * slope[1], one * slope[1] - mixed * slope[0]]) / determinant
        step = np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        power, offset = np.clip(power - step[0], _LOWEST, _HIGHEST), offset - step[1]
    return np.exp(power), offset


def best_thresholds(probabilities: NDArray[np.floating], marks: NDArray[np.bool_], wish: Wish) -> NDArray[np.float64]:
    """(tags,) what `wish` asks for, of each tag on its own images: (n, tags) each. THRESHOLD for a tag that none has, or for
    which the wish can not be met."""
    found = np.full(probabilities.shape[1], THRESHOLD)
    for tag in range(len(found)):
        try:
            found[tag] = choose(probabilities[:, tag], marks[:, tag], wish).threshold
        except UnmetWishError:
            continue
    return found


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of any shape, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def cross_entropy(logits: NDArray[np.floating], marks: NDArray[np.bool_]) -> float:
    """The mean over images and tags, in nats."""
    signed = np.where(marks, -logits.astype(np.float64), logits.astype(np.float64))
    return float(np.logaddexp(0, signed).mean())
