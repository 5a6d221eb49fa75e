"""What a writer of a format is, and what it is given."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pocketvision.data.samples import SPLITS
from pocketvision.tasks.detection.truth import BoxLabels

DECIMALS = 6
"""Places that pixels are written with."""


@dataclass(frozen=True)
class Picture:
    """An image that is written. index: its place in the truth. path: of its copy, relative to the new folder. size: width and
    height of it upright."""

    index: int
    path: str
    split: str
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """Without folders."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Without folders and suffix; no two pictures have the same."""
        return self.name.rpartition(".")[0] or self.name


class Box(NamedTuple):
    """An object. corners: left, top, right, bottom in pixels. area: its own where one is known, else the box's. score: of an
    answer, in [0, 1]; None of what a person said."""

    label: str
    place: int
    corners: tuple[float, float, float, float]
    crowd: bool
    difficult: bool
    area: float
    score: float | None = None


@dataclass(frozen=True)
class Writer:
    """A format. says: what it is, for help. folder: where the pictures of a split (of SPLITS, empty for none) lie. crowds,
    difficult, scores: whether it can say so of a box. write: the files beside the pictures, which lie in the folder already.
    require_name: raises UsageError for a name of a class or picture that the format can not hold; None where it holds any."""

    says: str
    folder: Callable[[str], str]
    crowds: bool
    difficult: bool
    scores: bool
    write: Callable[[Path, BoxLabels, Sequence[Picture]], None]
    require_name: Callable[[str], None] | None = None


def boxes_of(truth: BoxLabels, index: int) -> Iterator[Box]:
    """The objects of an image, in order."""
    row = truth.rows.row(index)
    own = row["areas"].tolist() if "areas" in row else None
    scores = row["scores"].tolist() if "scores" in row else None
    flags = zip(row["crowd"].tolist(), row["difficult"].tolist(), strict=True)
    for place, (corners, kind, (crowd, difficult)) in enumerate(
        zip(row["boxes"].tolist(), row["classes"].tolist(), flags, strict=True)
    ):
        left, top, right, bottom = (round(side, DECIMALS) for side in corners)
        area = (right - left) * (bottom - top) if own is None else own[place]
        score = None if scores is None else round(scores[place], DECIMALS)
        corners = (left, top, right, bottom)
        yield Box(truth.class_names[kind], kind, corners, crowd, difficult, round(area, DECIMALS), score)


def by_split(pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    """The pictures of each split that has some, in the order of SPLITS; all under "" where there are no splits."""
    found = {split: [each for each in pictures if each.split == split] for split in ("", *SPLITS)}
    return {split: members for split, members in found.items() if members}
