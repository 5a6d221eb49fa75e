"""Endless augmented batches of image files, for the plain loop."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.augment import apply_view, draw_view
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import Preprocessing


def image_batches(
    files: Sequence[Path],
    labels: NDArray[np.int64],
    preprocessing: Preprocessing,
    *,
    batch: int,
    seed: int,
    augmentation: str = "standard",
    workers: int = 2,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (batch, 3, H, W) and labels (batch,), in epochs that are shuffled by `seed`, every image in a new view each time.

    The last images of an epoch begin the next one's first batch, so that all batches are full. Raises ImageError.
    """

    def rows() -> Iterator[tuple[int, int]]:
        """Image and epoch, without end."""
        epoch = 0
        while True:
            for index in np.random.default_rng([seed, epoch]).permutation(len(files)).tolist():
                yield index, epoch
            epoch += 1

    def load(row: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
        index, epoch = row
        view = draw_view(seed, index, epoch + 1, augmentation=augmentation)
        return apply_view(preprocessing.decode(files[index]), view, preprocessing), int(labels[index])

    loaded = prefetch(load, rows(), workers=workers, ahead=4 * batch)
    while True:
        images, truth = zip(*(next(loaded) for _ in range(batch)), strict=True)
        yield torch.from_numpy(np.stack(images)), torch.tensor(truth)
