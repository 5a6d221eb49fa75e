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

IMAGES = "images"
"""The feature that is no feature: preprocessed images, of which a random start learns everything."""

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
    """Feeds the stages."""

    def views(self, feature: str) -> int | None:
        """How many views of an image the epochs on `feature` walk through; None: every epoch draws new ones."""
        ...

    def batches(self, feature: str, batches: Iterable[Sequence[Row]]) -> Iterator[Tensor]:
        """For each batch of rows, `feature` as float32: "pooled" (N, features), "cut", the activations at the cut, or "images",
        (N, 3, H, W)."""
        ...


class CachedInputs:
    """Reads the trunk cache, and computes what is missing when an epoch first asks for it.

    The caches hold activations at the cut and pooled features. Stage 2 walks through `views` views of an image; stage 1 sees the
    clean view alone: pooled features cost the tail's forward pass, which is the larger part of it, and the head goes on learning
    in stage 2. `on_images` is called with the views done and their total whenever some are computed.
    """

    def __init__(
        self,
        images: ImageViews,
        cuts: TrunkCache,
        pooled: TrunkCache,
        runtime: TrunkRuntime,
        *,
        views: int,
        on_images: OnImages | None = None,
    ) -> None:
        self._images = images
        self._caches = {CUT: cuts, POOLED: pooled}
        self._runtime = runtime
        self._views = {CUT: views, POOLED: 1}
        self._on_images = on_images
        self._keys: dict[Row, bytes] = {}

    def views(self, feature: str) -> int | None:
        """How many views of an image the epochs of a stage walk through."""
        return self._views[feature]

    def batches(self, feature: str, batches: Iterable[Sequence[Row]]) -> Iterator[Tensor]:
        groups = list(batches)
        self.fill(feature, (row for group in groups for row in group))

        def read(rows: Sequence[Row]) -> Tensor:
            stored = torch.from_numpy(self._caches[feature].read([self._key(row) for row in rows], feature))
            stored = stored.to(torch.float32)
            return stored.contiguous(memory_format=torch.channels_last) if stored.ndim == 4 else stored

        yield from prefetch(read, groups, workers=1, ahead=2)

    def fill(self, feature: str, rows: Iterable[Row]) -> int:
        """Make sure that `feature` of all `rows` is cached; return how many views were run through the trunk.

        An image is decoded once for all its rows. Raises TrainingError on a full disk.
        """
        missing = sorted({key: row for row in rows if (key := self._key(row)) not in self._caches[feature]}.values())
        by_image: dict[int, list[Row]] = {}
        for row in missing:
            by_image.setdefault(row[0], []).append(row)
        views = prefetch(self._images.load, by_image.values(), workers=self._images.workers, ahead=2 * RUNTIME_BATCH)
        done = 0
        for batch in _rebatched(views, RUNTIME_BATCH):
            keys = [self._key(row) for row in missing[done : done + len(batch)]]
            done += len(keys)
            activations = self._runtime.cut(batch)
            self._caches[CUT].add(keys, {CUT: activations.astype(np.float16)})
            if feature == POOLED:
                self._caches[POOLED].add(keys, {POOLED: self._runtime.pooled(activations)})
            if self._on_images is not None:
                self._on_images(done, len(missing))
        for cache in self._caches.values():
            cache.flush()
        return len(missing)

    def _key(self, row: Row) -> bytes:
        key = self._keys.get(row)
        if key is None:
            key = self._keys[row] = self._images.key(row)
        return key


class PlainInputs:
    """Decodes, augments and runs the frozen part in every epoch: the plain way, without a cache."""

    def __init__(self, images: ImageViews, network: Network, cut: int) -> None:
        self._images = images
        self._network = network
        self._cut = cut

    def views(self, feature: str) -> int | None:
        """None: every epoch draws new views."""
        del feature
        return None

    def batches(self, feature: str, batches: Iterable[Sequence[Row]]) -> Iterator[Tensor]:
        groups = list(batches)
        rows = [[row] for group in groups for row in group]
        loaded = prefetch(self._images.load, rows, workers=self._images.workers, ahead=2 * RUNTIME_BATCH)
        for group in groups:
            images = torch.from_numpy(np.concatenate([next(loaded) for _ in group]))
            images = images.to(memory_format=torch.channels_last)
            if feature == IMAGES:
                yield images
                continue
            with torch.no_grad():
                output = self._network.trunk(images, self._cut)
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
