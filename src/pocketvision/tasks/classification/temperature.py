"""Temperature scaling: one number that makes a classifier's probabilities honest (Guo et al. 2017)."""

from math import exp, log

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.decode import softmax

_LOWEST, _HIGHEST = 0.05, 20.0
# Bisection steps: the logarithm of the temperature is found to within 6 / 2**24.
_STEPS = 24


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature in [0.05, 20] that makes `logits` (n, classes) most likely to give `labels` (n,).

    It minimises the summed negative log likelihood plus log(temperature)² / 2. That weak pull towards 1 weighs about as
    much as one image; without it a validation set with no mistake would have no minimum at all, and every answer would
    become a certain one. Returns 1.0 for no images.
    """
    if len(labels) == 0:
        return 1.0
    # Only differences between logits count; the true class's is 0 this way.
    centred = logits.astype(np.float64) - logits[np.arange(len(labels)), labels].astype(np.float64)[:, None]
    low, high = log(_LOWEST), log(_HIGHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        scaled = centred / exp(middle)
        slope = middle - float((softmax(scaled) * scaled).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return exp((low + high) / 2)
