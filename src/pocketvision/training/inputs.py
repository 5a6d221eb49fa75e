"""What the two stages are fed: pooled features and activations at the cut, from the trunk cache or computed afresh.

A *row* is an image and a view number. View 0 is the clean view, exactly the preprocessing of inference; any other number is an
augmented view, drawn from the seed, the image's content and the number, and so the same in every run.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.augment import CLEAN, View, apply_view, draw_view
from pocketvision.data.samples import Samples
from pocketvision.models.network import Network
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS, Preprocessing
from pocketvision.training.trunk_cache import TrunkCache, row_key
from pocketvision.training.trunk_runtime import CUT, POOLED, RUNTIME_BATCH, TrunkRuntime

Row = tuple[int, int]
OnImages = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class ImageViews:
    """Images and their views. `content_hashes` is (n,) of 16 bytes each, as the audit computed them."""

    samples: Samples
    content_hashes: NDArray[np.void]
    preprocessing: Preprocessing
    augmentation: str
    seed: int
    workers: int = 2
    max_pixels: int = MAX_PIXELS

    def view(self, row: Row) -> View:
        """The recorded parameters of a row's view."""
        sample, number = row
        if number == 0:
            return CLEAN
        content = int.from_bytes(self.content_hashes[sample].tobytes()[:8], "little")
        return draw_view(self.seed, content, number, augmentation=self.augmentation)

    def key(self, row: Row) -> bytes:
        """What the row's activations depend on besides the network: the image's content and the view."""
        return row_key(self.content_hashes[row[0]].tobytes(), repr(self.view(row)).encode())

    def load(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The views `rows` of one image, (views, 3, H, W); the image is decoded once. Raises ImageError."""
        image = self.preprocessing.decode(self.samples.file(rows[0][0]), max_pixels=self.max_pixels)
        return np.stack([apply_view(image, self.view(row), self.preprocessing) for row in rows])


class Inputs(Protocol):
    """Feeds the stages. `views` is how many views of an image the epochs walk through; None: every epoch draws new ones."""

    views: int | None

    def batches(self, feature: str, batches: Iterable[Sequence[Row]]) -> Iterator[Tensor]:
        """For each batch of rows, `feature` ("pooled": (N, features), or "cut": (N, channels, h, w)) as float32."""
        ...


class CachedInputs:
    """Reads the trunk cache. `fill` computes what is missing, each image decoded once however many views it has."""

    def __init__(self, images: ImageViews, cache: TrunkCache, views: int) -> None:
        self.views: int | None = views
        self._images = images
        self._cache = cache
        self._keys: dict[Row, bytes] = {}

    def fill(self, rows: Iterable[Row], runtime: TrunkRuntime, on_images: OnImages | None = None) -> int:
        """Make sure that every row is cached; return how many were computed. Raises TrainingError on a full disk."""
        for row in rows:
            self._keys.setdefault(row, self._images.key(row))
        wanted = set(self._cache.missing(self._keys.values()))
        missing: dict[int, list[Row]] = {}
        ordered: list[bytes] = []
        for row in sorted(self._keys):
            key = self._keys[row]
            if key in wanted:
                wanted.discard(key)
                missing.setdefault(row[0], []).append(row)
                ordered.append(key)
        views = prefetch(self._images.load, missing.values(), workers=self._images.workers, ahead=8)
        features = (runtime(images) for images in _rebatched(views, RUNTIME_BATCH))
        self._cache.fill(ordered, features, lambda done: on_images(done, len(ordered)) if on_images else None)
        return len(ordered)

    def batches(self, feature: str, batches: Iterable[Sequence[Row]]) -> Iterator[Tensor]:
        def read(rows: Sequence[Row]) -> Tensor:
            stored = torch.from_numpy(self._cache.read([self._keys[row] for row in rows], feature))
            if feature == CUT:
                return stored.to(torch.float32, memory_format=torch.channels_last)
            return stored.to(torch.float32)

        yield from prefetch(read, batches, workers=1, ahead=2)


class PlainInputs:
    """Decodes, augments and runs the frozen part in every epoch: the plain way, without a cache."""

    views: int | None = None

    def __init__(self, images: ImageViews, network: Network, cut: int) -> None:
        self._images = images
        self._network = network
        self._cut = cut

    def batches(self, feature: str, batches: Iterable[Sequence[Row]]) -> Iterator[Tensor]:
        groups = list(batches)
        rows = [[row] for group in groups for row in group]
        loaded = prefetch(self._images.load, rows, workers=self._images.workers, ahead=2 * RUNTIME_BATCH)
        for group in groups:
            images = torch.from_numpy(np.concatenate([next(loaded) for _ in group]))
            with torch.no_grad():
                output = self._network.trunk(images.to(memory_format=torch.channels_last), self._cut)
                if feature == POOLED:
                    output = self._network.tail(output, self._cut)
            yield output


def _rebatched(parts: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Arrays of any lengths, cut anew into arrays of `size` rows (the last one shorter)."""
    waiting: list[NDArray[np.float32]] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part)
        while count >= size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(waiting)
