"""What a run says of a split of images that hold several things each, such as objects."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import SPLITS, Samples
from pocketvision.printable import counted
from pocketvision.tasks.ragged import Ragged


def split_note(samples: Samples, clusters: NDArray[np.int64]) -> str | None:
    """A sentence: how many images, objects and backgrounds each part has, what share of a class's objects is learned from, and
    how many clusters (n), of duplicates and groups, are whole. None for images that are of one class each, and without splits."""
    strata, splits, classes = samples.strata, samples.splits, len(samples.class_names)
    if not isinstance(strata, Ragged) or splits is None:
        return None
    kinds, part_of = strata.columns["stratum"], np.repeat(splits, strata.lengths)
    parts = []
    for place, split in enumerate(SPLITS):
        there = kinds[part_of == place]
        if images := int((splits == place).sum()):
            objects, empty = int((there < classes).sum()), int((there == classes + 1).sum())
            background = f" and {counted(empty, 'background')}" if empty else ""
            parts.append(f"{split} {counted(images, 'image')} with {counted(objects, 'object')}{background}")
    whole = np.bincount(kinds[kinds < classes], minlength=classes)
    learned = np.bincount(kinds[(kinds < classes) & (part_of == 0)], minlength=classes)
    shares = learned[whole > 0] / whole[whole > 0]
    spread = f"; train has {shares.min():.0%} to {shares.max():.0%} of each class's objects" if len(shares) else ""
    groups = int((np.bincount(clusters) > 1).sum())
    together = f" Kept together: {counted(groups, 'set')} of duplicates or of one group." if groups else ""
    return f"Split by image, by the classes' objects: {', '.join(parts)}{spread}.{together}"
