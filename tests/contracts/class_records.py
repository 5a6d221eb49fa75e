"""The records of a classifier that answered as a test says."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.record import ClassRecord


def recorded(
    logits: NDArray[np.float32], probabilities: NDArray[np.float32], labels: NDArray[np.integer]
) -> list[ClassRecord]:
    """Of n images: (n, classes) twice, and (n)."""
    return [ClassRecord(*each) for each in zip(logits, probabilities, labels.tolist(), strict=True)]
