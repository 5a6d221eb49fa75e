"""Pictures without labels, in pairs of views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.augment import AUGMENTATIONS, Augmentation
from pocketvision.data.find_images import find_images
from pocketvision.data.learned_from import fingerprints_of
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import Preprocessing
from pocketvision.printable import counted
from pocketvision.progress import Counted, Note, OnEvent
from pocketvision.tasks.classification.truth import CLASSIFICATION, ClassLabels
from pocketvision.training.contrast.settings import ContrastSettings
from pocketvision.training.engine import TrainingBatch
from pocketvision.training.inputs import IMAGES, ImageViews

_LEAST = 4
_FIXED = 1_000_000_000
"""The number of the first view that validation looks at: none that an epoch shows."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images and their views; which are learned from, and which are held out, (n) and (m) indices."""

    images: ImageViews
    learned: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @property
    def files(self) -> list[Path]:
        return [self.images.samples.file(index) for index in range(len(self.images.samples))]

    def pairs(self, samples: Sequence[int], first: int) -> Iterator[Tensor]:
        """Of each image the views `first` and the one after it, (2, 3, H, W)."""
        rows = [[(sample, first), (sample, first + 1)] for sample in samples]
        for loaded in prefetch(self.images.load, rows, workers=self.images.workers, ahead=256):
            yield torch.from_numpy(loaded)

    def batches(self, size: int, seed: int, epoch: int, first: int) -> Iterator[TrainingBatch]:
        """An epoch's batches of `size` images, in an order drawn from seed and epoch, without the first `first`."""
        order = np.random.default_rng([seed, 1, epoch]).permutation(self.learned)
        chosen = chunks(order, size)[first:]
        views = self.pairs([int(each) for group in chosen for each in group], 2 * epoch - 1)
        for group in chosen:
            shown = torch.cat([next(views) for _ in group]).to(memory_format=torch.channels_last)
            yield TrainingBatch({IMAGES: shown}, None, group.repeat(2))

    def validation(self, size: int) -> Iterator[Tensor]:
        """Pairs of the held-out images, the same every time."""
        groups = chunks(self.held_out, size)
        views = self.pairs([int(each) for group in groups for each in group], _FIXED)
        for group in groups:
            yield torch.cat([next(views) for _ in group]).to(memory_format=torch.channels_last)


def chunks(indices: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Groups of `size`, the last one of at least two: one image alone has nobody to be told from."""
    found = [indices[start : start + size] for start in range(0, len(indices), size)]
    if len(found) > 1 and len(found[-1]) == 1:
        found[-2:] = [np.concatenate(found[-2:])]
    return found


def read_pictures(
    folder: Path, settings: ContrastSettings, preprocessing: Preprocessing, on_event: OnEvent
) -> Pictures:
    """All images of a folder and below it that can be read, each content once. Raises UsageError where that are too few."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder. Expected one with images in it or below it; labels are not needed.")
    files = [path for path in find_images([folder]) if isinstance(path, Path)]
    content, _, unreadable = fingerprints_of(
        files, workers=settings.workers, on_progress=lambda done, total: on_event(Counted("audit", done, total))
    )
    for text in unreadable.values():
        on_event(Note(f"Skipped {text}"))
    readable = np.array([index for index in range(len(files)) if index not in unreadable], np.int64)
    kept = readable[np.sort(np.unique(content[readable], return_index=True)[1])]
    if len(kept) < len(readable):
        on_event(Note(f"{counted(len(readable) - len(kept), 'image')} left out, which another shows too."))
    if len(kept) < _LEAST:
        raise UsageError(f"{folder} has {counted(len(kept), 'readable image')}; expected {_LEAST} or more.")
    samples = Samples(
        folder,
        [files[index].relative_to(folder).as_posix() for index in kept],
        {CLASSIFICATION: ClassLabels(np.full(len(kept), -1, np.int32), ())},
    )
    views = ImageViews(samples, content[kept], preprocessing, _views(settings), settings.seed, settings.workers)
    order = np.random.default_rng([settings.seed, 0]).permutation(len(kept))
    held = max(2, round(settings.val_share * len(kept)))
    return Pictures(views, np.sort(order[held:]), np.sort(order[:held]))


def _views(settings: ContrastSettings) -> Augmentation:
    """Crops of any size, mirrored or not, in other colours: what Chen et al. found to matter (their section 3)."""
    return replace(
        AUGMENTATIONS["strong"],
        smallest_area=settings.smallest_area,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        rotation=0.0,
        hue=0.1,
        greyscale=0.2,
    )
