"""What the stages are fed: features by name and the activations at the cut, from the trunk cache or computed afresh.

A *row* is an image and a view number. View 0 is the clean view, exactly the preprocessing of inference; any other number is an
augmented view, drawn from the seed, the image's content and the number, and so the same in every run.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.augment import CLEAN, Augmentation, View, apply_view, draw_view, placement_of
from pocketvision.data.samples import Samples
from pocketvision.models.features import CUT
from pocketvision.models.network import Network
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS, DecodedImage, Placement, Preprocessing
from pocketvision.training.parts import Parts
from pocketvision.training.trunk_cache import Features, TrunkCache, row_key
from pocketvision.training.trunk_runtime import RUNTIME_BATCH

IMAGES = "images"
"""The feature that is no feature: preprocessed images, of which a random start learns everything."""

Names = Sequence[str]
"""Of features (models/features.py), of the activations at the cut (CUT), or IMAGES alone."""
Row = tuple[int, int]
OnImages = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class ImageViews:
    """Images and their views. `content_hashes` is (n,) of 16 bytes each, as the audit computed them."""

    samples: Samples
    content_hashes: NDArray[np.void]
    preprocessing: Preprocessing
    augmentation: str | Augmentation
    seed: int
    workers: int = 2
    max_pixels: int = MAX_PIXELS

    def view(self, row: Row) -> View:
        """The recorded parameters of a row's view."""
        sample, number = row
        if number == 0:
            return CLEAN
        content = int.from_bytes(self._content(sample)[:8], "little")
        return draw_view(self.seed, content, number, augmentation=self.augmentation)

    def key(self, row: Row) -> bytes:
        """What the row's activations depend on besides the network: the image's content and the view."""
        return row_key(self._content(row[0]), self.view(row).key)

    def _content(self, sample: int) -> bytes:
        """16 bytes of what the image shows."""
        whole: bytes = self.content_hashes[sample].tobytes()
        if self.samples.windows is None:
            return whole
        return hashlib.blake2b(whole + self.samples.windows[sample].tobytes(), digest_size=len(whole)).digest()

    def load(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The views `rows` of one image, (views, 3, H, W); the image is decoded once. Raises ImageError."""
        image = self._decoded(rows[0][0]).image
        return np.stack([apply_view(image, self.view(row), self.preprocessing) for row in rows])

    def clean(self, sample: int) -> NDArray[np.uint8]:
        """The clean view of an image in 8 bits, (H, W, 3). Raises ImageError."""
        return np.asarray(self.preprocessing.crop(self._decoded(sample).image))

    def placement(self, row: Row) -> Placement:
        """Where the row's image lies in its view. The image is decoded unless it was before. Raises ImageError."""
        if not self.decoding[row[0]].any():
            self._decoded(row[0])
        width, height, reduction, orientation = self.decoding[row[0]].tolist()
        decoded = Placement.of_decoding((width, height), reduction, orientation)
        return placement_of(self.view(row), decoded, self.preprocessing)

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self.samples, self.preprocessing.white_level, self.max_pixels)

    @cached_property
    def decoding(self) -> NDArray[np.int32]:
        """(n, 4): width, height, reduction and orientation (DecodedImage.reduced_from) of the images decoded so far, else 0."""
        return np.zeros((len(self.samples), 4), np.int32)

    def _decoded(self, sample: int) -> DecodedImage:
        decoded = self.preprocessing.decode_image(self._parts.source(sample), max_pixels=self.max_pixels)
        size, reduction, orientation = decoded.reduced_from or (decoded.image.size, 1, 1)
        self.decoding[sample] = (*size, reduction, orientation)
        return decoded


class Placements(Sequence[Placement]):
    """Where the images of some rows lie in their views, each computed when it is asked for: classes need none."""

    def __init__(self, images: ImageViews, rows: Sequence[Row]) -> None:
        self._images = images
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Placement: ...
    @overload
    def __getitem__(self, index: slice) -> "Placements": ...
    def __getitem__(self, index: int | slice) -> "Placement | Placements":
        if isinstance(index, slice):
            return Placements(self._images, self._rows[index])
        return self._images.placement(self._rows[index])


class Inputs(Protocol):
    """Feeds the stages with views of `images`."""

    @property
    def images(self) -> ImageViews: ...

    @property
    def most_views(self) -> int | None:
        """How many views of an image there is room for; None for any number."""
        ...

    def views(self, names: Names) -> int | None:
        """How many views of an image the epochs on these features walk through; None: every epoch draws new ones."""
        ...

    def batches(self, names: Names, batches: Iterable[Sequence[Row]]) -> Iterator[dict[str, Tensor]]:
        """For each batch of rows the features by name, float32, a batch first."""
        ...


class Runtime(Protocol):
    """What computes cached features: the frozen part of the network (trunk_runtime.py), or a teacher (teachers.py).

    same: features that neither gives, because the activations at the cut are they."""

    @property
    def same(self) -> tuple[str, ...]: ...

    def trunk(self, images: NDArray[np.float32]) -> Features:
        """Of preprocessed images (N, 3, H, W), N at most RUNTIME_BATCH, by name."""

    def tail(self, activations: NDArray[np.float32]) -> Features:
        """Of activations at the cut."""


class CachedInputs:
    """Reads the trunk cache, and computes what is missing when an epoch first asks for it.

    The caches hold what the trunk gives (the activations at the cut, and features below it) and what the tail makes of it. What
    learns from the trunk's features alone walks through `views` views of an image, and so does what learns from maps, where a
    view's objects lie elsewhere. With pooled features of the tail's it sees the clean view alone: they cost the tail's forward
    pass, which is the larger part of it, and linear heads learn little more from other views. `on_images` is
    called with the views done and their total whenever some are computed.
    """

    def __init__(
        self,
        images: ImageViews,
        trunk: TrunkCache,
        tail: TrunkCache,
        runtime: Runtime,
        *,
        views: int,
        on_images: OnImages | None = None,
    ) -> None:
        self.images = images
        self._same = frozenset(runtime.same)
        self._trunk, self._tail = trunk, tail
        self._runtime = runtime
        self._most_views = views
        self._on_images = on_images
        self._keys: dict[Row, bytes] = {}

    @property
    def most_views(self) -> int:
        return self._most_views

    def views(self, names: Names) -> int | None:
        """How many views of an image the epochs of a stage walk through."""
        maps = any(len(each.shape) > 1 for each in self._tail.layouts if each.name in names)
        return self._most_views if maps or not self._same.isdisjoint(names) or not self._needs_tail(names) else 1

    def batches(self, names: Names, batches: Iterable[Sequence[Row]]) -> Iterator[dict[str, Tensor]]:
        groups = list(batches)
        self.fill(names, (row for group in groups for row in group))

        def read(rows: Sequence[Row]) -> dict[str, Tensor]:
            keys = [self._key(row) for row in rows]
            return {name: _as_tensor(self._read(name, keys)) for name in names}

        yield from prefetch(read, groups, workers=1, ahead=2)

    def fill(self, names: Names, rows: Iterable[Row]) -> int:
        """Make sure that the features of all `rows` are cached; return how many views were run through the trunk.

        An image is decoded once for all its rows. Raises TrainingError on a full disk.
        """
        asked = self._asked(names)
        missing = self.missing(names, rows)
        by_image: dict[int, list[Row]] = {}
        for row in missing:
            by_image.setdefault(row[0], []).append(row)
        views = prefetch(self.images.load, by_image.values(), workers=self.images.workers, ahead=2 * RUNTIME_BATCH)
        done = 0
        for batch in _rebatched(views, RUNTIME_BATCH):
            keys = [self._key(row) for row in missing[done : done + len(batch)]]
            done += len(keys)
            kept = self._runtime.trunk(batch)
            _add(self._trunk, keys, kept)
            if self._tail in asked:
                _add(self._tail, keys, self._runtime.tail(kept[CUT].astype(np.float32, copy=False)))
            if self._on_images is not None:
                self._on_images(done, len(missing))
        for cache in asked:
            cache.flush()
        return len(missing)

    def look_again(self) -> None:
        """Take over what other processes have cached since."""
        for cache in (self._trunk, self._tail):
            cache.look_again()

    def missing(self, names: Names, rows: Iterable[Row]) -> list[Row]:
        """Those of the rows, one of each content and view, whose features are not cached yet, in order."""
        asked = self._asked(names)
        return sorted(
            {key: row for row in rows if any((key := self._key(row)) not in cache for cache in asked)}.values()
        )

    def _asked(self, names: Names) -> list[TrunkCache]:
        return [self._trunk, self._tail] if self._needs_tail(names) else [self._trunk]

    def _needs_tail(self, names: Names) -> bool:
        return any(name in self._tail.names for name in names)

    def _read(self, name: str, keys: Sequence[bytes]) -> NDArray[np.generic]:
        stored = CUT if name in self._same else name
        return (self._trunk if stored in self._trunk.names else self._tail).read(keys, stored)

    def _key(self, row: Row) -> bytes:
        key = self._keys.get(row)
        if key is None:
            key = self._keys[row] = self.images.key(row)
        return key


class PlainInputs:
    """Decodes, augments and runs the frozen part in every epoch: the plain way, without a cache. views: of an image that the
    epochs walk through; None: every epoch draws new ones."""

    def __init__(self, images: ImageViews, network: Network, cut: int, views: int | None = None) -> None:
        self.images = images
        self._network = network
        self._cut = cut
        self._views = views

    def showing(self, images: ImageViews) -> "PlainInputs":
        """The same of other views."""
        return PlainInputs(images, self._network, self._cut, self._views)

    @property
    def most_views(self) -> None:
        return None

    def views(self, names: Names) -> int | None:
        del names
        return self._views

    def batches(self, names: Names, batches: Iterable[Sequence[Row]]) -> Iterator[dict[str, Tensor]]:
        groups = list(batches)
        rows = [[row] for group in groups for row in group]
        loaded = prefetch(self.images.load, rows, workers=self.images.workers, ahead=2 * RUNTIME_BATCH)
        for group in groups:
            images = torch.from_numpy(np.concatenate([next(loaded) for _ in group]))
            images = images.to(memory_format=torch.channels_last)
            yield {IMAGES: images} if IMAGES in names else self._features(names, images)

    @torch.no_grad()
    def _features(self, names: Names, images: Tensor) -> dict[str, Tensor]:
        asked = [name for name in names if name != CUT]
        images = images.to(next(self._network.parameters()).device)
        kept = self._network.below(images, self._cut, asked)
        made = self._network.above(kept, self._cut, asked, size=(images.shape[2], images.shape[3]))
        return {name: kept[name] if name == CUT else made[name] for name in names}


def _as_tensor(stored: NDArray[np.generic]) -> Tensor:
    tensor = torch.from_numpy(stored).to(torch.float32)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _add(cache: TrunkCache, keys: Sequence[bytes], features: Features) -> None:
    """The rows that the cache has not: those of other views may be there from another stage."""
    new = [index for index, key in enumerate(keys) if key not in cache]
    if len(new) == len(keys):
        cache.add(keys, features)
    elif new:
        cache.add([keys[index] for index in new], {name: values[new] for name, values in features.items()})


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
