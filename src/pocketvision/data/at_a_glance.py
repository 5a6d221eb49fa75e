"""How many pictures of how many classes some data has, and how large they are: a look that reads no pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.data.sources.catalog import read_samples

LOOKED_AT = 50
"""Pictures whose size is read, from their heads alone."""


@dataclass(frozen=True)
class Glance:
    """longer_side: pixels, of the median picture; None where none could be read."""

    pictures: int
    classes: int
    longer_side: int | None


def at_a_glance(data: Path) -> Glance:
    """Of a folder or table as `train` takes it. Raises UsageError as read_samples does."""
    samples, sides = read_samples(data), list[int]()
    for index in range(0, len(samples), max(1, len(samples) // LOOKED_AT)):
        try:
            with Image.open(samples.file(index)) as image:
                sides.append(max(image.size))
        except OSError:  # `check` lists them
            continue
    return Glance(len(samples), max(1, len(samples.class_names)), int(np.median(sides)) if sides else None)
