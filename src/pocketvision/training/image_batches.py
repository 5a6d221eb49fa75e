"""Endless augmented batches of image files, for the plain loop."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.augment import Augmentation, apply_view, draw_view, placement_of
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import Placement, Preprocessing

Targets = TypeVar("Targets")


def image_batches(
    files: Sequence[Path],
    targets: Callable[[NDArray[np.int64], Sequence[Placement]], Targets],
    preprocessing: Preprocessing,
    *,
    batch: int,
    seed: int,
    augmentation: str | Augmentation = "standard",
    workers: int = 2,
) -> Iterator[tuple[Tensor, Targets]]:
    """Images (batch, 3, H, W) and their targets, in epochs that are shuffled by `seed`, every image in a new view each time.

    targets: of a batch, from which of the files its rows are, (batch), and where each lies in its view.

    The last images of an epoch begin the next one's first batch, so that all batches are full. Raises ImageError.
    """

    def rows() -> Iterator[tuple[int, int]]:
        """Image and epoch, without end."""
        epoch = 0
        while True:
            for index in np.random.default_rng([seed, epoch]).permutation(len(files)).tolist():
                yield index, epoch
            epoch += 1

    def load(row: tuple[int, int]) -> tuple[NDArray[np.float32], int, Placement]:
        index, epoch = row
        view = draw_view(seed, index, epoch + 1, augmentation=augmentation)
        decoded = preprocessing.decode_image(files[index])
        return (
            apply_view(decoded.image, view, preprocessing),
            index,
            placement_of(view, decoded.placement, preprocessing),
        )

    loaded = prefetch(load, rows(), workers=workers, ahead=4 * batch)
    while True:
        images, indices, placements = zip(*(next(loaded) for _ in range(batch)), strict=True)
        yield torch.from_numpy(np.stack(images)), targets(np.array(indices, np.int64), placements)
