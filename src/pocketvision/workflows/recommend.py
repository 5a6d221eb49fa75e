"""models recommend: what to begin with, from what is wished, and from the data itself where there is some."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.data.sources.catalog import read_samples
from pocketvision.models.choosing import Choice, choose
from pocketvision.models.wishes import Wishes

LOOKED_AT = 50
"""Pictures whose size is read, from their heads alone."""


def recommend(
    wishes: Wishes = Wishes(),  # noqa: B008 (frozen)
    *,
    data: str | Path | None = None,
    most: int = 3,
) -> tuple[Choice, ...]:
    """The networks to begin with, the best first. data: a folder or table as `train` takes it; its pictures, classes and their
    size are counted where the wishes leave them out. Raises UsageError for data that can not be read, and budgets that leave
    none."""
    return choose(wishes if data is None else told_by(Path(data), wishes), most=most)


def told_by(data: Path, wishes: Wishes) -> Wishes:
    """The wishes, with what the data says where they say nothing."""
    samples = read_samples(data)
    sides = []
    for index in range(0, len(samples), max(1, len(samples) // LOOKED_AT)):
        try:
            with Image.open(samples.file(index)) as image:
                sides.append(max(image.size))
        except OSError:  # `check` lists them
            continue
    return replace(
        wishes,
        pictures=wishes.pictures or len(samples),
        classes=wishes.classes or max(1, len(samples.class_names)),
        picture_size=wishes.picture_size or (int(np.median(sides)) if sides else None),
    )
