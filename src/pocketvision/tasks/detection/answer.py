"""What a model says about the objects of an image. Numpy only; no torch."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.task import Looked

_NAMED = 3


@dataclass(frozen=True)
class Passed:
    """line: from x, y to x, y, in the image's pixels. counts: by class, how many objects went over it to its right and to its
    left, as one sees it who looks along the line."""

    line: tuple[float, float, float, float]
    counts: dict[str, tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Detections:
    """k >= 0 objects, the highest score first.

    labels: the classes' names, in the bundle's order. boxes: (k, 4) left, top, right, bottom in pixels of the upright image,
    within it and with an area. scores: (k) in [0, 1]. classes: (k) places in labels. tracks: (k) which object of a stream each
    is, from 1 on, the same in every frame; None where nobody follows them. passed: what crossed a line so far, where there is
    one. size: width and height of the image. looked: what was said of each object when it was looked at again (task.Looked).
    An answer that came over the wire has the labels that were told, and no size.
    """

    labels: tuple[str, ...]
    boxes: NDArray[np.float64]
    scores: NDArray[np.floating]
    classes: NDArray[np.integer]
    tracks: NDArray[np.int64] | None = None
    passed: Passed | None = None
    size: tuple[int, int] | None = None
    looked: Looked | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.classes.shape != (count,) or self.scores.shape != (count,):
            found = f"{self.boxes.shape}, {self.scores.shape} and {self.classes.shape}"
            raise ValueError(f"boxes, scores and classes have the shapes {found}; expected (k, 4), (k,) and (k,)")
        if self.tracks is not None and self.tracks.shape != (count,):
            raise ValueError(f"tracks have the shape {self.tracks.shape}; expected {(count,)}")
        if self.looked is not None and len(self.looked) != count:
            raise ValueError(f"looked has {len(self.looked)} answers; expected {count}")

    @property
    def kind(self) -> str:
        """The row of TASKS."""
        return "detection"

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, chosen: NDArray[np.integer] | NDArray[np.bool_] | slice) -> "Detections":
        """Some of the objects."""
        tracks = None if self.tracks is None else self.tracks[chosen]
        places = np.arange(len(self))[chosen].tolist()
        return replace(
            self,
            boxes=self.boxes[chosen],
            scores=self.scores[chosen],
            classes=self.classes[chosen],
            tracks=tracks,
            looked=None if self.looked is None else tuple(self.looked[place] for place in places),
        )

    @property
    def names(self) -> list[str]:
        """(k) the class of each object."""
        return [self.labels[place] for place in self.classes.tolist()]

    @property
    def said(self) -> list[str]:
        """(k) what was said of each object when it was looked at again, in a few words; empty where nothing was."""
        looked = self.looked or (None,) * len(self)
        return [", ".join(answer.headline for answer in (each or {}).values()) for each in looked]

    @property
    def confidence(self) -> float | None:
        """The mean score of the objects; None without any."""
        return float(np.mean(self.scores, dtype=np.float64)) if len(self) else None

    @property
    def headline(self) -> str:
        """As in "2 cracks, 1 stain": the most frequent classes first; "no objects"."""
        counts = Counter(self.names).most_common()
        named = [_counted(count, name) for name, count in counts[:_NAMED]]
        more = sum(count for _, count in counts[_NAMED:])
        return ", ".join([*named, *([f"{more} more"] if more else [])]) or "no objects"


def _counted(count: int, name: str) -> str:
    """English alone has a plural that can be told from a name, and only of some of them."""
    plain = name.isascii() and name[-1:].islower() and not name.endswith(("s", "x", "ch", "sh", "y"))
    return f"{count:,} {name}{'s' if count > 1 and plain else ''}"
