"""What is wrong with detections, in the six kinds of TIDE (Bolya et al. 2020), and what each costs.

A wrong detection is, the first that fits: at the right object but badly placed (IoU 0.1 to 0.5 with one of its class); of the
wrong class (at least 0.5 with one of another); a duplicate (at least 0.5 with one that a better detection has); background (at
most 0.1 with any); or both of wrong class and badly placed. An object that nothing found, and that is not what a badly placed or
wrongly named detection meant, is missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.matching import IGNORED, RIGHT, WRONG
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.precision import Ranked, mean
from pocketvision.tasks.detection.record import DetectionRecord

KINDS = ("missed", "background", "place", "class", "both", "duplicate")
MISSED, BACKGROUND, PLACE, CLASS, BOTH, DUPLICATE = range(len(KINDS))
NONE = -1

NEAR, RIGHT_PLACE = 0.1, 0.5
"""IoUs: below the first a detection is at nothing, from the second on at the object."""


@dataclass(frozen=True, eq=False)
class ImageErrors:
    """Of one image. kinds: (k) of each detection, NONE where it is right, does not count or was not asked about. meant: (k) the
    object that it overlaps, -1 for none. missed: (m) whether each object is."""

    kinds: NDArray[np.int8]
    meant: NDArray[np.int64]
    missed: NDArray[np.bool_]


def errors_of(record: DetectionRecord, asked: NDArray[np.bool_]) -> ImageErrors:
    """Of a record with truth. asked: (k) which detections were made: a first part of each class's."""
    there, states = record.there, record.states
    assert there is not None and states is not None and record.took is not None, "it has truth"
    found, counts = record.found, ~there.ignored[0]
    kinds, meant = np.full(len(found), NONE, np.int8), np.full(len(found), -1, np.int64)
    # At the lowest IoU, of all sizes.
    taken = np.zeros(len(counts), np.bool_)
    taken[record.took[asked & (states[0, 0] == RIGHT)]] = True
    wrong = np.flatnonzero(asked & (states[0, 0] == WRONG))
    objects = np.flatnonzero(counts)
    if len(objects) == 0:
        kinds[wrong] = BACKGROUND
        return ImageErrors(kinds, meant, np.zeros(len(counts), np.bool_))
    overlaps = ious(found.boxes[wrong], there.boxes[objects])
    same = found.classes[wrong, None] == there.classes[objects]
    of_class, of_other = np.where(same, overlaps, 0), np.where(same, 0, overlaps)
    of_taken = np.where(taken[objects], of_class, 0)
    tests = (
        (PLACE, of_class, (of_class.max(axis=1) >= NEAR) & (of_class.max(axis=1) <= RIGHT_PLACE)),
        (CLASS, of_other, of_other.max(axis=1) >= RIGHT_PLACE),
        (DUPLICATE, of_taken, of_taken.max(axis=1) >= RIGHT_PLACE),
        (BACKGROUND, overlaps, overlaps.max(axis=1) <= NEAR),
        (BOTH, overlaps, np.ones(len(wrong), np.bool_)),
    )
    for kind, measured, fits in tests:
        fits &= kinds[wrong] == NONE
        kinds[wrong[fits]] = kind
        if kind != BACKGROUND:
            meant[wrong[fits]] = objects[measured[fits].argmax(axis=1)]
    covered = np.zeros(len(counts), np.bool_)
    covered[meant[(kinds == PLACE) | (kinds == CLASS)]] = True
    return ImageErrors(kinds, meant, counts & ~taken & ~covered)


@dataclass(frozen=True)
class ErrorFigures:
    """count: at the thresholds that ship. gain: by how much AP50 would be higher, were all of them put right, in [0, 1]: of the
    detections of any score."""

    count: int
    gain: float


def error_figures(records: Sequence[DetectionRecord], classes: int) -> dict[str, ErrorFigures]:
    """By kind, of records with truth."""
    counts = np.zeros(len(KINDS), np.int64)
    for each in records:
        shown = errors_of(each, each.said)
        counts += np.bincount(shown.kinds[shown.kinds != NONE], minlength=len(KINDS))
        counts[MISSED] += int(shown.missed.sum())
    flat = _Flat.of(records)
    base = flat.ap50(classes)
    return {
        name: ErrorFigures(int(counts[kind]), max(flat.without(kind).ap50(classes) - base, 0.0))
        for kind, name in enumerate(KINDS)
    }


@dataclass(frozen=True, eq=False)
class _Flat:
    """d detections and m objects of all images. meant, took: (d) places among the objects, -1 for none."""

    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    states: NDArray[np.uint8]
    kinds: NDArray[np.int8]
    meant: NDArray[np.int64]
    object_classes: NDArray[np.int64]
    counts: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    missed: NDArray[np.bool_]

    @classmethod
    def of(cls, records: Sequence[DetectionRecord]) -> "_Flat":
        parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in cls.__dataclass_fields__}
        before = 0
        for each in records:
            assert each.there is not None and each.states is not None and each.took is not None, "it has truth"
            errors = errors_of(each, np.ones(len(each.found), np.bool_))
            taken = np.zeros(len(errors.missed), np.bool_)
            taken[each.took[each.states[0, 0] == RIGHT]] = True
            values = {
                "scores": each.found.scores.astype(np.float64),
                "classes": each.found.classes.astype(np.int64),
                "states": each.states[0, 0],
                "kinds": errors.kinds,
                "meant": np.where(errors.meant < 0, -1, errors.meant + before),
                "object_classes": each.there.classes.astype(np.int64),
                "counts": ~each.there.ignored[0],
                "taken": taken,
                "missed": errors.missed,
            }
            for name, value in values.items():
                parts[name].append(value)
            before += len(taken)
        return cls(**{name: np.concatenate(value) for name, value in parts.items()})

    def without(self, kind: int) -> "_Flat":
        """With errors of a kind put right: objects are no longer missed; what meant an object that no detection has takes it, the
        best first, under its class; every other one is gone."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if kind == MISSED:
            return _Flat(**{**values, "counts": self.counts & ~self.missed})
        chosen = np.flatnonzero(self.kinds == kind)
        keep = self.kinds != kind
        if kind in (PLACE, CLASS):
            states, classes = self.states.copy(), self.classes.copy()
            ordered = chosen[np.argsort(-self.scores[chosen], kind="stable")]
            open_ones = ordered[~self.taken[self.meant[ordered]]]
            first = open_ones[np.unique(self.meant[open_ones], return_index=True)[1]]
            keep[first], states[first] = True, RIGHT
            classes[first] = self.object_classes[self.meant[first]]
            values |= {"states": states, "classes": classes}
        detections = ("scores", "classes", "states", "kinds", "meant")
        return _Flat(**{name: value[keep] if name in detections else value for name, value in values.items()})

    def ap50(self, classes: int) -> float:
        """The mean over classes."""
        once, found = np.ones((1, 1), np.int32), []
        objects = np.bincount(self.object_classes[self.counts], minlength=classes)
        for place in range(classes):
            own = np.flatnonzero((self.classes == place) & (self.states != IGNORED))
            own = own[np.argsort(-self.scores[own], kind="stable")]
            images = np.zeros(len(own), np.int64)
            ranked = Ranked(self.scores[own], self.states[None, own], images, objects[[place]])
            found.append(ranked.average_precisions(once)[0, 0])
        return mean(np.array(found)) or 0.0
