"""What the two stages are fed: pooled features and activations at the cut, from the trunk cache or computed afresh.

A *row* is an image and a view number. View 0 is the clean view, exactly the preprocessing of inference; any other number is an
augmented view, drawn from the seed, the image's content and the number, and so the same in every run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

# Views that the head is trained on: the clean one and one more.
HEAD_VIEWS = 2


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
        """For each batch of rows, `feature` ("pooled": (N, features), or "cut": (N, channels, h, w)) as float32."""
        ...


class CachedInputs:
    """Reads the trunk cache. `fill` computes what is missing, each image decoded once however many views it has.

    The caches hold activations at the cut and pooled features. Stage 1 walks through `head_views` views, stage 2 through
    `views`: pooled features cost the tail's forward pass, which is the larger part of it, and a linear head gains little from
    more than one augmented view.
    """

    def __init__(
        self, images: ImageViews, cuts: TrunkCache, pooled: TrunkCache, *, views: int, head_views: int = HEAD_VIEWS
    ) -> None:
        self._images = images
        self._caches = {CUT: cuts, POOLED: pooled}
        self._views = {CUT: views, POOLED: min(views, head_views)}
        self._keys: dict[Row, bytes] = {}

    def views(self, feature: str) -> int | None:
        """How many views of an image the epochs of a stage walk through."""
        return self._views[feature]

    def fill(self, rows: Mapping[str, Iterable[Row]], runtime: TrunkRuntime, on_images: OnImages | None = None) -> int:
        """Make sure that the rows of each feature are cached; return how many views were run through the trunk.

        Raises TrainingError on a full disk.
        """
        wanted = {feature: self._missing(feature, needed) for feature, needed in rows.items()}
        ordered = sorted({key: row for keys in wanted.values() for key, row in keys.items()}.values())
        by_image: dict[int, list[Row]] = {}
        for row in ordered:
            by_image.setdefault(row[0], []).append(row)
        views = prefetch(self._images.load, by_image.values(), workers=self._images.workers, ahead=8)
        done = 0
        waiting: list[tuple[bytes, NDArray[np.float32]]] = []
        for batch in _rebatched(views, RUNTIME_BATCH):
            keys = [self._keys[row] for row in ordered[done : done + len(batch)]]
            done += len(keys)
            activations = runtime.cut(batch)
            cuts = [index for index, key in enumerate(keys) if key in wanted[CUT]]
            self._caches[CUT].add([keys[index] for index in cuts], {CUT: activations[cuts].astype(np.float16)})
            waiting += [(key, activations[index]) for index, key in enumerate(keys) if key in wanted[POOLED]]
            waiting = self._pool(waiting, runtime, least=RUNTIME_BATCH)
            if on_images is not None:
                on_images(done, len(ordered))
        self._pool(waiting, runtime, least=1)
        for cache in self._caches.values():
            cache.flush()
        return len(ordered)

    def batches(self, feature: str, batches: Iterable[Sequence[Row]]) -> Iterator[Tensor]:
        def read(rows: Sequence[Row]) -> Tensor:
            stored = torch.from_numpy(self._caches[feature].read([self._keys[row] for row in rows], feature))
            if feature == CUT:
                return stored.to(torch.float32, memory_format=torch.channels_last)
            return stored.to(torch.float32)

        yield from prefetch(read, batches, workers=1, ahead=2)

    def _missing(self, feature: str, rows: Iterable[Row]) -> dict[bytes, Row]:
        """The keys that are not cached, with a row of each (the views of doubled images share a key)."""
        missing: dict[bytes, Row] = {}
        for row in rows:
            key = self._keys.get(row)
            if key is None:
                key = self._keys[row] = self._images.key(row)
            if key not in self._caches[feature]:
                missing.setdefault(key, row)
        return missing

    def _pool(
        self, waiting: list[tuple[bytes, NDArray[np.float32]]], runtime: TrunkRuntime, *, least: int
    ) -> list[tuple[bytes, NDArray[np.float32]]]:
        """Turn waiting activations into pooled features, RUNTIME_BATCH at a time; return those that are left."""
        while len(waiting) >= least:
            now, waiting = waiting[:RUNTIME_BATCH], waiting[RUNTIME_BATCH:]
            pooled = runtime.pooled(np.stack([activations for _, activations in now]))
            self._caches[POOLED].add([key for key, _ in now], {POOLED: pooled})
        return waiting


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
