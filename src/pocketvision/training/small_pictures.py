"""Small pictures in memory: each is decoded once, and views that only mirror and crop with padding are made a batch at a time.

At 32 pixels a network learns from an image in a millisecond or two, so that Python's part a picture (decoding, resizing, making a
tensor of it) would be felt. The views are bit-equal to those of ImageViews.load.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.augment import View, augmentation_named
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import SAMPLED
from pocketvision.training.inputs import IMAGES, ImageViews, Names, Row

MOST_BYTES = 500_000_000
"""Of pixels that are kept: 160,000 pictures of 32 x 32."""


def are_small(images: ImageViews) -> bool:
    """Whether the pixels of all fit into memory, and no view of theirs does more than mirror, and move by whole pixels."""
    preprocessing, drawn = images.preprocessing, images.augmentation
    ranges = augmentation_named(drawn) if isinstance(drawn, str) else drawn
    moves_alone = replace(ranges, flip=0, crop_padding=0, moves="all") == augmentation_named("none")
    moves_alone &= ranges.crop_padding == 0 or ranges.moves == "all"
    fits = len(images.samples) * preprocessing.height * preprocessing.width * 3 <= MOST_BYTES
    return fits and preprocessing.interpolation != SAMPLED and moves_alone


class SmallInputs:
    """Feeds what learns everything with views of small pictures (`are_small`), decoded when they are first asked for.

    views: of an image that the epochs walk through; None: every epoch draws new ones.
    """

    def __init__(self, images: ImageViews, views: int | None = None) -> None:
        self.images = images
        self._views = views
        size = (images.preprocessing.height, images.preprocessing.width)
        self._pixels = np.empty((len(images.samples), *size, 3), np.uint8)  # memory is taken as it is filled
        self._known = np.zeros(len(images.samples), np.bool_)

    @property
    def most_views(self) -> None:
        return None

    def views(self, names: Names) -> int | None:
        del names
        return self._views

    def batches(self, names: Names, batches: Iterable[Sequence[Row]]) -> Iterator[dict[str, Tensor]]:
        """Images alone: nothing is frozen."""
        if names != [IMAGES]:
            raise ValueError(f"{names} are asked of small pictures, which are images alone")
        for images in prefetch(self.load, batches, workers=1, ahead=2):
            yield {IMAGES: images}

    def load(self, rows: Sequence[Row]) -> Tensor:
        """The views `rows`, (N, 3, H, W) float32 in channels-last order. Raises ImageError."""
        samples = [sample for sample, _ in rows]
        for sample in samples:
            if not self._known[sample]:
                self._pixels[sample] = self.images.clean(sample)
                self._known[sample] = True
        preprocessing = self.images.preprocessing
        moved = _moved(self._pixels[samples], [self.images.view(row) for row in rows], preprocessing.fill)
        std, mean = (np.asarray(each, np.float32) for each in (preprocessing.std, preprocessing.mean))
        normalised = np.multiply(moved, 1 / (255 * std), dtype=np.float32)  # as Preprocessing.normalise does it
        normalised -= mean / std
        return torch.from_numpy(normalised).permute(0, 3, 1, 2)


def _moved(pixels: NDArray[np.uint8], views: Sequence[View], fill: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Pictures (N, H, W, 3), each as its view has it: mirrored, then moved. They may be changed."""
    mirrored = np.flatnonzero([view.flip for view in views])
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    right, down = np.array(
        [view.effects[0].values if view.effects else (0.0, 0.0) for view in views], np.int64
    ).T  # the one effect that `are_small` lets through is a shift
    most = max(abs(right).max(), abs(down).max())
    if most == 0:
        return pixels
    count, height, width, _ = pixels.shape
    padded = np.empty((count, height + 2 * most, width + 2 * most, 3), np.uint8)
    padded[:] = fill
    padded[:, most : most + height, most : most + width] = pixels
    rows, columns = (most - shift[:, None] + np.arange(side) for shift, side in ((down, height), (right, width)))
    moved: NDArray[np.uint8] = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved
