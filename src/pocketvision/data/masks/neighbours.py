"""Neighbouring tiles of one large picture, and neighbouring slices or frames of one series: what is learned from the one is
nearly an answer about the other, so a split should not part them.

Tiles are told by their names: two numbers that are places (`x_512_1024`, `r3_c5`). Slices by names that number them, and by
likeness: neighbours in the numbering are more alike than any two pictures of the series.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.finding import Finding
from pocketvision.data.inspection import Inspection
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.printable import counted, quoted
from pocketvision.tasks.segmentation.truth import SEGMENTATION, MaskLabels

FEWEST = 8
"""Neighbours in a numbering, below which their likeness tells nothing."""

ALIKE = 0.6
"""Neighbours are told by likeness where their distance is at most this share of that of any two pictures of the series, in the
middle (median)."""

STEP = 16
"""Pixels: places of tiles are multiples of at least so many."""

_NUMBER = re.compile(r"\d+")
_PLACE = re.compile(r"(?:^|[^a-z])(?:x|y|r|c|row|col|column|i|j)[_\-=]?$", re.IGNORECASE)
_FILES = 6

Neighbours = list[tuple[int, int]]


def neighbour_findings(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    """None for samples without masks, or without neighbours."""
    if not isinstance(samples.truth.get(SEGMENTATION), MaskLabels):
        return
    pairs = sorted({*tiles(samples.paths), *slices(samples.paths, inspection.frequencies)})
    if not pairs:
        return
    images = len({each for pair in pairs for each in pair})
    if samples.splits is None:
        yield Finding(
            "neighbouring_images",
            f"{counted(images, 'image')} with a neighbouring tile or slice in the data, such as {_named(samples, pairs[0])}. A "
            "random split parts them, and figures come out too good: keep a series together by --group, whose pattern finds it "
            'in a path (--group "(.+)_\\d+_\\d+").',
            count=images,
        )
        return
    parted = [pair for pair in pairs if samples.splits[pair[0]] != samples.splits[pair[1]]]
    if parted:
        first, second = (SPLITS[samples.splits[place]] for place in parted[0])
        yield Finding(
            "neighbours_across_splits",
            f"{counted(len(parted), 'pair')} of neighbouring tiles or slices in different splits, such as "
            f"{_named(samples, parted[0])} ({first} and {second}): figures measured there are too good. Keep a series, or parts "
            "of one that lie apart, in one split.",
            tuple(samples.paths[pair[0]] for pair in parted[:_FILES]),
            len(parted),
        )


def tiles(paths: Sequence[str]) -> Neighbours:
    """Pairs of images whose names differ by one step in one of two places."""
    series: dict[tuple[str, ...], dict[tuple[int, int], int]] = defaultdict(dict)
    for index, path in enumerate(paths):
        stem = PurePosixPath(path).stem
        numbers = list(_NUMBER.finditer(stem))[-2:]
        if len(numbers) == 2:
            one, other = numbers
            key = stem[: one.start()], stem[one.end() : other.start()], stem[other.end() :]
            series[key].setdefault((int(one[0]), int(other[0])), index)
    found: Neighbours = []
    for (before, between, _), places in series.items():
        rows, columns = (sorted({place[axis] for place in places}) for axis in (0, 1))
        said = _PLACE.search(before) is not None and _PLACE.search(between) is not None
        if len(places) > 1 and (said or (_are_pixels(rows) and _are_pixels(columns))):
            found += _steps(places, rows, columns)
    return found


def _are_pixels(places: Sequence[int]) -> bool:
    """Whether numbers are 0, and multiples of a step of at least STEP: offsets of tiles in pixels."""
    steps = np.diff(places)
    return places[0] == 0 and (len(steps) == 0 or int(np.gcd.reduce(steps)) >= STEP)


def _steps(places: Mapping[tuple[int, int], int], rows: Sequence[int], columns: Sequence[int]) -> Neighbours:
    below, right = (dict(pairwise(each)) for each in (rows, columns))
    found = []
    for (row, column), index in places.items():
        for other in ((below.get(row, -1), column), (row, right.get(column, -1))):
            if other in places:
                found.append((index, places[other]))
    return found


def slices(paths: Sequence[str], looks: NDArray[np.floating]) -> Neighbours:
    """Pairs of images whose last numbers follow one another, of series in which such pairs are alike. looks: (n, …) numbers of
    each image (Inspection.frequencies), NaN where there are none."""
    series: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for index, path in enumerate(paths):
        stem = PurePosixPath(path).stem
        numbers = list(_NUMBER.finditer(stem))
        if numbers and np.isfinite(looks[index]).all():
            series[stem[: numbers[-1].start()], stem[numbers[-1].end() :]].setdefault(int(numbers[-1][0]), index)
    found: Neighbours = []
    for members in series.values():
        order = [members[number] for number in sorted(members)]
        following = [(members[number], members[number + 1]) for number in sorted(members) if number + 1 in members]
        if len(following) >= FEWEST and _alike(looks.astype(np.float32), following, order):
            found += following
    return found


def _alike(looks: NDArray[np.float32], following: Neighbours, order: Sequence[int]) -> bool:
    """Whether neighbours are nearer than any two of the series, as the same ones in another order are."""
    mixed = np.random.default_rng(0).permutation(order)
    near, far = (
        float(np.median(np.linalg.norm(looks[pairs[:, 0]] - looks[pairs[:, 1]], axis=1)))
        for pairs in (np.array(following), np.stack([mixed[:-1], mixed[1:]], axis=1))
    )
    return near <= ALIKE * far


def _named(samples: Samples, pair: tuple[int, int]) -> str:
    return " and ".join(quoted(samples.paths[place]) for place in pair)
