"""What became of boxes: two data sets of the same pictures, before and after a person went over them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels

SAME_OBJECT = 0.5
"""Intersection over union from which on two boxes are around one object."""

OF_ITS_CLASS = 0.1
"""What a box of the same class is preferred by, in overlap, to one of another."""

MOVED = 1.0
"""Pixels that a side may lie elsewhere by rounding: some tools keep whole numbers."""

KINDS = ("added", "removed", "moved", "renamed")
"""A box that is renamed may have moved too."""

SCHEMA_VERSION = 1
_PAIRS = 1 << 20  # overlaps that are held at once

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Change:
    """An object of an image. was, now: its class, None where it was not or is no more; before, after: its box."""

    image: str
    was: str | None = None
    now: str | None = None
    before: Corners | None = None
    after: Corners | None = None

    @property
    def text(self) -> str:
        """In a line."""
        was, now = (None if name is None else quoted(name) for name in (self.was, self.now))
        name = f"{was} is {now}" if was and now and was != now else now or was or ""
        places = [", ".join(f"{side:.4g}" for side in box) for box in (self.before, self.after) if box is not None]
        return f"{self.image}: {name} at {' to '.join(dict.fromkeys(places))}"


@dataclass(frozen=True)
class Changes:
    """Of the images in both sets. before, after: objects there. kept: of them how many are the same. counts: by KINDS, all of
    them. examples: one of each that there is. by_class: the same counts and `kept` by class, of a renamed object by the former.
    only_before, only_after: images of one set alone."""

    images: int
    before: int
    after: int
    kept: int
    counts: dict[str, int]
    examples: dict[str, Change]
    by_class: dict[str, dict[str, int]]
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What was compared."""
        share = f" ({self.kept / self.before:.0%})" if self.before else ""
        told = [
            f"{counted(self.images, 'image')} in both; {self.before:,} boxes became {self.after:,}, "
            f"{self.kept:,}{share} as they were."
        ]
        for paths, text in ((self.only_before, "only in the first"), (self.only_after, "only in the second")):
            if paths:
                told.append(f"{counted(len(paths), 'image')} {text}, such as {paths[0]}: not compared.")
        return tuple(told)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Fields are added, never renamed, while `schema_version` stays the same."""
        changes = {
            kind: {
                "count": self.counts[kind],
                "example": asdict(self.examples[kind]) if kind in self.examples else None,
            }
            for kind in KINDS
        }
        return {
            "schema_version": SCHEMA_VERSION,
            "images": self.images,
            "objects_before": self.before,
            "objects_after": self.after,
            "kept": self.kept,
            "changes": changes,
            "per_class": self.by_class,
            "only_before": {"count": len(self.only_before), "example": next(iter(self.only_before), None)},
            "only_after": {"count": len(self.only_after), "example": next(iter(self.only_after), None)},
        }


def changes_between(before: Samples, after: Samples) -> Changes:
    """Images are known by their names, by their paths where a name is there several times; classes by their names. Raises
    UsageError for samples without boxes, and where no image is in both."""
    one, other = _boxes_of(before), _boxes_of(after)
    places, there = _known_by(before.paths), _known_by(after.paths)
    common = [name for name in places if name in there]
    if not common:
        raise UsageError(
            f"{before.root} and {after.root} have no image of the same name, so there is nothing to compare: "
            f"{before.paths[0]} and {after.paths[0]} are their first."
        )
    seen: Counter[str] = Counter()
    by_class: dict[str, Counter[str]] = {}
    examples: dict[str, Change] = {}
    for name in common:
        for kind, change in _of_image(before.paths[places[name]], one, places[name], other, there[name]):
            seen[kind] += 1
            by_class.setdefault(change.was or change.now or "", Counter())[kind] += 1
            examples.setdefault(kind, change)
    order = ("kept", *KINDS)
    return Changes(
        len(common),
        int(one.rows.lengths[[places[name] for name in common]].sum()),
        int(other.rows.lengths[[there[name] for name in common]].sum()),
        seen["kept"],
        {kind: seen[kind] for kind in KINDS},
        {kind: examples[kind] for kind in KINDS if kind in examples},
        {name: {kind: by_class[name][kind] for kind in order} for name in sorted(by_class)},
        tuple(before.paths[place] for name, place in places.items() if name not in there),
        tuple(after.paths[place] for name, place in there.items() if name not in places),
    )


def _boxes_of(samples: Samples) -> BoxLabels:
    truth = samples.truth.get(DETECTION)
    if not isinstance(truth, BoxLabels):
        raise UsageError(f"{samples.root}: it has the truth of {', '.join(samples.truth)}, and no boxes to compare.")
    return truth


def _known_by(paths: Sequence[str]) -> dict[str, int]:
    """The place of each image by what it is known by."""
    names = [path.rpartition("/")[2] for path in paths]
    often = Counter(names)
    return {
        name if often[name] == 1 else path: place for place, (name, path) in enumerate(zip(names, paths, strict=True))
    }


def _of_image(path: str, one: BoxLabels, place: int, other: BoxLabels, there: int) -> Iterator[tuple[str, Change]]:
    """What became of each object of an image: one of KINDS, or `kept`."""
    was, now = one.rows.row(place), other.rows.row(there)
    old, new = (
        [truth.class_names[each] for each in row["classes"].tolist()] for truth, row in ((one, was), (other, now))
    )
    boxes, others = map(tuple, was["boxes"].tolist()), map(tuple, now["boxes"].tolist())
    before, after = [*boxes], [*others]
    partners = partners_of(was["boxes"], old, now["boxes"], new)
    for first, second in enumerate(partners.tolist()):
        if second < 0:
            yield "removed", Change(path, was=old[first], before=before[first])
            continue
        change = Change(path, old[first], new[second], before[first], after[second])
        apart = float(np.abs(was["boxes"][first] - now["boxes"][second]).max())
        yield "renamed" if change.was != change.now else "moved" if apart > MOVED else "kept", change
    for second in np.setdiff1d(np.arange(len(after)), partners).tolist():
        yield "added", Change(path, now=new[second], after=after[second])


def partners_of(
    one: NDArray[np.float64], names: Sequence[str], other: NDArray[np.float64], other_names: Sequence[str]
) -> NDArray[np.int64]:
    """(k) which of the m other boxes is around the same object as each of k, -1 for none; each at most once. boxes: (k, 4) and
    (m, 4). The pair that overlaps most first, and of those alike the one of one class. Memory does not grow with k times m."""
    partners = np.full(len(one), -1, np.int64)
    kinds = {name: number for number, name in enumerate(dict.fromkeys((*names, *other_names)))}
    classes, others = (np.array([kinds[name] for name in each], np.int64) for each in (names, other_names))
    rows, columns, overlaps = [], [], []
    step = max(1, _PAIRS // max(len(other), 1))
    for start in range(0, len(one), step):
        shared = ious(one[start : start + step], other)
        near = np.nonzero(shared >= SAME_OBJECT)
        rows.append(near[0] + start)
        columns.append(near[1])
        overlaps.append(shared[near])
    if not rows:
        return partners
    row, column = np.concatenate(rows), np.concatenate(columns)
    worth = np.concatenate(overlaps) + OF_ITS_CLASS * (classes[row] == others[column])
    taken = np.zeros(len(other), np.bool_)
    for each in np.argsort(-worth, kind="stable").tolist():
        if partners[row[each]] < 0 and not taken[column[each]]:
            partners[row[each]], taken[column[each]] = column[each], True
    return partners
