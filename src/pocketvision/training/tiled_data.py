"""Large pictures of masks in overlapping tiles, each learned as a picture of its own: cut as prediction cuts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.tasks.catalog import viewed_as
from pocketvision.tasks.manifest import MIRROR, TaskManifest
from pocketvision.tasks.segmentation.metrics import iou, mean, sums_of
from pocketvision.tasks.segmentation.record import confusion
from pocketvision.tasks.segmentation.tiles import LEAST_TILE, Tiling
from pocketvision.tasks.segmentation.truth import (
    DIGEST_BYTES,
    NOTHING,
    Mask,
    MaskLabels,
    MaskReader,
    digest,
    resized,
    value_counts,
)
from pocketvision.tasks.task import Box, ViewOptions
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.training_data import TrainingData

Windows = NDArray[np.int32]
"""(n, 4): left, top, right and bottom of each part in its upright image's pixels."""


MOST = 4000
"""Tiles that are learned from, evenly chosen where there are more; a quarter as many are validated on."""

FINEST = 128
"""Cells a side of the answers to a picture that is looked at as a whole: stride 4 of 512 pixels."""

USUAL = 512
LOST = 0.8
"""A mean IoU that masks keep when they are made as small as such answers, below which pictures are cut."""

_LOOKED_AT = 6


@lru_cache(maxsize=1)
def in_tiles(data: TrainingData, tile: int | None) -> TrainingData:
    """The data with the tiles of each picture that is larger in its place, those of the test left out, which is answered whole.

    Reads every mask once. Raises UsageError for other tasks than masks, of which a tile does not say what the picture does.
    """
    if not tile:
        return data
    others = [name for name, truth in data.learned.items() if not isinstance(truth, MaskLabels)]
    if others:
        raise UsageError(
            f"Tiles are for masks, and {', '.join(others)} is learned too: what is said of a picture is not said of a tile. "
            "Leave --tile out."
        )
    if tile < LEAST_TILE:
        raise UsageError(f"--tile is {tile}; expected {LEAST_TILE} pixels or more, or 0 for whole pictures.")
    sizes = sizes_of(data)
    parents, windows = list[int](), list[Box]()
    for split, most in (("train", MOST), ("val", MOST // 4)):
        found = [
            (index, box)
            for index in data.indices(split).tolist()
            for box in Tiling(tile).windows((int(sizes[index, 0]), int(sizes[index, 1])))
        ]
        for place in np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)).tolist():
            parents.append(found[place][0])
            windows.append(found[place][1])
    chosen, parts = np.array(parents, np.int64), np.array(windows, np.int32).reshape(-1, 4)
    truth = {
        name: cut(each, chosen, parts, sizes[chosen])
        for name, each in data.learned.items()
        if isinstance(each, MaskLabels)
    }
    whole = data.samples
    splits = None if whole.splits is None else whole.splits[chosen]
    samples = Samples(whole.root, [whole.paths[index] for index in parents], truth, splits=splits, windows=parts)
    return replace(data, samples=samples, rows=data.rows[chosen], likely=None)


def looked_at(recipe: Recipe, data: TrainingData, log: RunLog) -> tuple[Recipe, TrainingData]:
    """The recipe with its tiles, and what is learned from: the data in them."""
    if recipe.data.tile is None and (found := tile_of(data)) is not None:
        log.note(found[1])
        recipe = changed(recipe, {"data.tile": found[0]})
    parts = in_tiles(data, recipe.data.tile)
    if parts is not data:
        of, whole = (f"{len(each.indices('train')):,}" for each in (parts, data))
        log.note(f"{of} tiles of {recipe.data.tile} pixels are learned from, of {whole} pictures.")
    return recipe, parts


def viewed(tasks: Mapping[str, TaskManifest], recipe: Recipe) -> dict[str, TaskManifest]:
    """Tasks that are to look at pictures as they were learned from."""
    found = viewed_as(tasks, ViewOptions(tile=recipe.data.tile or None))
    if recipe.augment.flip != 0:
        return found
    return {name: replace(task, postprocessing={**task.postprocessing, MIRROR: False}) for name, task in found.items()}


def sizes_of(data: TrainingData) -> NDArray[np.int64]:
    """(n, 2) width and height of the samples, or of the parts that they are."""
    windows, inspection = data.samples.windows, data.audit.inspection
    if windows is not None:
        return (windows[:, 2:] - windows[:, :2]).astype(np.int64)
    return np.stack([inspection.widths, inspection.heights], axis=1)[data.rows].astype(np.int64)


def tile_of(data: TrainingData) -> tuple[int, str] | None:
    """The tiles that pictures are to be cut into, and why, in a sentence; None where they are to be looked at as a whole: those
    that are not much larger than an input, or whose masks would be kept in small. Reads a few masks. Raises ImageError."""
    masks = [truth for truth in data.learned.values() if isinstance(truth, MaskLabels)]
    train = data.indices("train")
    sides = np.sqrt(sizes_of(data)[train].prod(axis=1))
    if len(masks) != len(data.learned) or len(masks) != 1 or not len(sides) or np.median(sides) < 2 * USUAL:
        return None
    seen = train[np.unique(np.linspace(0, len(train) - 1, _LOOKED_AT).astype(int))].tolist()
    kept = kept_in_small([masks[0].mask(index) for index in seen if masks[0].present[index]], len(masks[0].class_names))
    if kept >= LOST:
        return None
    return (
        USUAL,
        f"Pictures are cut into tiles of {USUAL} pixels: made as small as answers to whole pictures of {np.median(sides):.0f} "
        f"pixels or so are, their masks would keep a mean IoU of {kept:.2f} (--tile says otherwise; 0 looks at whole pictures).",
    )


def kept_in_small(masks: Sequence[Mask], classes: int) -> float:
    """The mean IoU of masks with themselves, made as small as answers are and large again."""
    counts = np.zeros((classes, classes + 1), np.int64)
    for mask in masks:
        height, width = mask.shape
        counts += confusion(mask, resized(resized(mask, (FINEST, FINEST)), (width, height)), classes)
    return float(mean(iou(*sums_of(counts)))) if counts.any() else 1.0


def cut(truth: MaskLabels, parents: NDArray[np.int64], windows: Windows, sizes: NDArray[np.integer]) -> MaskLabels:
    """Of parts of images. parents: (n) which image each is of. sizes: (n, 2) width and height of that."""
    masks = MaskParts(truth.masks, parents, windows, sizes)
    classes, count = len(truth.class_names), len(parents)
    pixels, digests = np.zeros((count, classes + 1), np.int64), np.zeros((count, DIGEST_BYTES), np.uint8)
    for index in np.flatnonzero(truth.present[parents]).tolist():
        mask = masks.read(index)
        counts = value_counts(truth.places[mask])
        pixels[index], digests[index] = [*counts[:classes], counts[NOTHING]], digest(mask)
    return MaskLabels(masks, truth.class_names, truth.places, pixels, digests, truth.present[parents])


@dataclass(frozen=True, eq=False)
class MaskParts:
    """A MaskReader of parts of images: parents, windows and sizes as in `cut`. The mask that was read last is kept."""

    whole: MaskReader
    parents: NDArray[np.int64]
    windows: Windows
    sizes: NDArray[np.integer]
    last: list[tuple[int, Mask]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.parents)

    def read(self, index: int) -> Mask:
        """Of part `index`, in the mask's own size. Raises ImageError."""
        parent = int(self.parents[index])
        mask = self._whole(parent)
        width, height = self.sizes[index].tolist()
        left, top, right, bottom = self.windows[index].tolist()
        across, down = mask.shape[1] / width, mask.shape[0] / height
        rows = slice(round(top * down), max(round(bottom * down), round(top * down) + 1))
        columns = slice(round(left * across), max(round(right * across), round(left * across) + 1))
        part: Mask = mask[rows, columns].copy()
        return part

    def select(self, indices: NDArray[np.int64]) -> "MaskParts":
        """Those at `indices`."""
        return MaskParts(self.whole, self.parents[indices], self.windows[indices], self.sizes[indices])

    def _whole(self, parent: int) -> Mask:
        for index, mask in self.last:
            if index == parent:
                return mask
        mask = self.whole.read(parent)
        self.last[:] = [(parent, mask)]
        return mask
