"""Parts of labelled images that take turns in being held out."""

import numpy as np
from numpy.typing import NDArray


def stratified_folds(labels: NDArray[np.integer], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) a fold for every row; the rows of a class are dealt out evenly, in seeded order."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    found = np.empty(len(labels), np.int64)
    found[by_class] = np.arange(len(labels)) % folds
    return found
