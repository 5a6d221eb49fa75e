"""From a classifier's tensors to Classifications."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.predictions import Classification


def classify(probabilities: NDArray[np.float32], labels: tuple[str, ...]) -> list[Classification]:
    """One Classification for every row of probabilities (N, classes), with the class names in index order."""
    return [Classification(labels, row) for row in probabilities]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float32]:
    """Probabilities (N, classes) of logits (N, classes): softmax(logits / temperature), computed in float64."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
