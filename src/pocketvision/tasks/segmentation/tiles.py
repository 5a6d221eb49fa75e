"""Which parts of an image are looked at: overlapping tiles where it is large, and all of it again, larger, where that is wished.

What is said here is kept in the bundle, in postprocessing, so that whoever measures, predicts, serves or streams looks the same
way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Any

import numpy as np

from pocketvision.errors import UsageError
from pocketvision.tasks.manifest import SCALES, TILE, TaskManifest
from pocketvision.tasks.task import Box, ViewOptions

OVERLAP = 0.25
"""Of a tile with the next one, at least."""

LEAST_TILE = 32
MOST_SCALE, MOST_SCALES = 4.0, 4


@dataclass(frozen=True)
class Tiling:
    """tile: pixels of the image that a tile shows each way; None for all of the image. scales: the first is the usual one; at
    scale 1.5 a tile shows 1.5 times less each way."""

    tile: int | None = None
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.tile is not None and (type(self.tile) is not int or self.tile < LEAST_TILE):
            raise ValueError(f"{TILE} is {str(self.tile)[:40]}; expected {LEAST_TILE} pixels or more")
        right = 0 < len(self.scales) <= MOST_SCALES and all(
            isinstance(each, int | float) and isfinite(each) and 1 <= each <= MOST_SCALE for each in self.scales
        )
        if not right or len(set(self.scales)) != len(self.scales):
            raise ValueError(
                f"{SCALES} are {str(self.scales)[:60]}; expected 1 to {MOST_SCALES} different numbers from 1 to "
                f"{MOST_SCALE:g}, such as 1,1.5"
            )

    @classmethod
    def of(cls, task: TaskManifest) -> "Tiling":
        """Of what a bundle keeps. Raises ValueError for what is none."""
        scales = task.postprocessing.get(SCALES, [1.0])
        if not isinstance(scales, list | tuple):
            raise ValueError(f"{SCALES} are {str(scales)[:60]}; expected a list of numbers")
        return cls(task.postprocessing.get(TILE), tuple(scales))

    @property
    def several(self) -> bool:
        """Whether an image may become several inputs."""
        return self.tile is not None or self.scales != (1.0,)

    def windows(self, size: tuple[int, int]) -> list[Box]:
        """Of an image (width, height), from the top, larger ones first: each scale's cover all of it."""
        found = {box for scale in self.scales for box in self._windows(size, scale)}
        return sorted(found, key=lambda box: (box[1], box[0], -box[2]))

    def _windows(self, size: tuple[int, int], scale: float) -> list[Box]:
        width, height = (max(1, round(min(side, self.tile or side) / scale)) for side in size)
        lefts, tops = (starts(side, part) for side, part in zip(size, (width, height), strict=True))
        return [(left, top, left + width, top + height) for top in tops for left in lefts]


def starts(side: int, part: int) -> list[int]:
    """Where parts of a side begin, as far apart as OVERLAP allows and evenly: the first at 0, the last at the end."""
    if part >= side:
        return [0]
    count = 1 + ceil((side - part) / (part * (1 - OVERLAP)))
    found: list[int] = np.unique(np.rint(np.linspace(0, side - part, count)).astype(int)).tolist()
    return found


def several(task: TaskManifest) -> bool:
    """Whether a bundle says that images may become several inputs."""
    return Tiling.of(task).several


def windows(size: tuple[int, int], task: TaskManifest) -> Sequence[Box]:
    """Of an image, as a bundle says."""
    return Tiling.of(task).windows(size)


def asked(task: TaskManifest, options: ViewOptions) -> TaskManifest:
    """The task, looked at as a caller asks. Raises UsageError for a tile or scales that are none."""
    kept: dict[str, Any] = dict(task.postprocessing)
    if options.tile is not None:
        kept[TILE] = options.tile
    if options.tile == 0:
        del kept[TILE]
    if options.scales is not None:
        kept[SCALES] = list(options.scales)
    changed = replace(task, postprocessing=kept)
    try:
        Tiling.of(changed)
    except ValueError as error:
        raise UsageError(f"{error}.".capitalize()) from error
    return changed
