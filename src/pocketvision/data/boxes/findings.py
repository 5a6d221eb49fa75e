"""What an audit has to say about the boxes of images once they are read: doubled, contradicting, lopsided or too small."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.boxes.input_size import FEW, SIZES, SMALL, choose_size
from pocketvision.data.boxes.problems import plural
from pocketvision.data.finding import Finding
from pocketvision.data.inspection import Inspection
from pocketvision.data.samples import Samples
from pocketvision.printable import counted, quoted
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels, areas

SAME = 0.9
"""Intersection over union of two boxes that are drawn around one object."""

NEIGHBOURS = 12
"""Boxes of an image, in order of their left sides, that each is compared with."""

NEARLY_ALL = 0.9
"""The share of all objects from which on one class drowns the others."""

_FILES = 10
_NAMED = 4


@dataclass(frozen=True)
class Found:
    """What a finder tells: how many, of which images, and in words."""

    kind: str
    count: int
    images: NDArray[np.int64]
    message: str


def box_findings(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    """None for samples without boxes."""
    truth = samples.truth.get(DETECTION)
    if not isinstance(truth, BoxLabels):
        return
    for find in _FINDERS:
        for found in find(truth, inspection):
            files = tuple(samples.paths[image] for image in dict.fromkeys(found.images.tolist()[:1000]))[:_FILES]
            yield Finding(found.kind, found.message, files, found.count)


def _doubled(truth: BoxLabels, _: Inspection) -> Iterator[Found]:
    one, other = pairs_alike(truth)
    same = truth.classes[one] == truth.classes[other]
    for kind, marks, text in (
        (
            "near_repeated_boxes",
            same,
            f"nearly the same as another of its class (they share {SAME:.0%} and more). Both are learned and asked "
            f"for: remove one.",
        ),
        (
            "conflicting_boxes",
            ~same,
            f"around the same object as one of another class (they share {SAME:.0%} and more). Keep the right one.",
        ),
    ):
        places = one[marks]
        if len(places):
            first, second = (truth.class_names[truth.classes[each[marks][0]]] for each in (one, other))
            example = quoted(first) if first == second else f"{quoted(first)} and {quoted(second)}"
            yield Found(
                kind, len(places), truth.images[places], f"{plural(len(places), 'box')} (such as {example}) {text}"
            )


def pairs_alike(truth: BoxLabels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of boxes of one image that share SAME of their area, crowds aside. Each is compared with its NEIGHBOURS by the left
    side alone: the work grows with the boxes, not with their pairs."""
    kept = np.flatnonzero(~truth.rows.columns["crowd"])
    images, boxes = truth.images[kept], truth.boxes[kept]
    order = np.lexsort((boxes[:, 0], images))
    images, boxes, kept = images[order], boxes[order], kept[order]
    found = []
    for step in range(1, NEIGHBOURS + 1):
        near = np.flatnonzero(images[step:] == images[:-step])
        one, other = boxes[near], boxes[near + step]
        shared = areas(
            np.concatenate([np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])], axis=1)
        )
        alike = near[shared >= SAME * (areas(one) + areas(other) - shared)]
        found.append(np.stack([kept[alike], kept[alike + step]]))
    pairs = np.concatenate(found, axis=1)
    return pairs[0], pairs[1]


def _classes(truth: BoxLabels, inspection: Inspection) -> Iterator[Found]:
    counts, images = truth.box_counts(), truth.select(np.flatnonzero(inspection.readable)).class_counts()
    nowhere = np.zeros(0, np.int64)
    total = int(counts.sum())
    if len(counts) > 1 and counts.max() >= NEARLY_ALL * total:
        most = int(counts.argmax())
        message = (
            f"The class {quoted(truth.class_names[most])} has {counts[most]:,} of {plural(total, 'box')} "
            f"({counts[most] / total:.0%}). "
            "Look at the figures of each class, not at their mean alone, and add images of the others."
        )
        yield Found("one_class_in_nearly_all", int(counts[most]), nowhere, message)
    rare = np.flatnonzero(images < 2)
    if len(rare):
        names = ", ".join(f"{quoted(truth.class_names[place])} ({images[place]})" for place in rare[:_NAMED])
        message = (
            f"{counted(len(rare), 'class')} with boxes in fewer than 2 readable images: {names}. They can be learned "
            "or measured, not both: add images of them."
        )
        yield Found("rare_classes", len(rare), nowhere, message)
    crowd = truth.rows.columns["crowd"]
    if crowd.any():
        message = (
            f"{plural(int(crowd.sum()), 'box')} around crowds (iscrowd, IsGroupOf). An answer there is neither right "
            "nor wrong, and nothing is learned from them."
        )
        yield Found("crowds", int(crowd.sum()), truth.images[crowd], message)


def _small(truth: BoxLabels, inspection: Inspection) -> Iterator[Found]:
    choice = choose_size(truth, np.stack([inspection.widths, inspection.heights], axis=1))
    share = choice.shares[SIZES[0]]
    if share > FEW:
        sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
        smallest = np.argsort(sides.min(axis=1), kind="stable")
        left = choice.shares[choice.size]
        message = (
            f"{share:.0%} of the boxes are less than {SMALL:g} pixels wide or high in an input of {SIZES[0]} pixels: "
            f"they are hardly "
            f"seen. Take --size {choice.size}, where {left:.0%} are{', or cut the pictures into tiles' if left > FEW else ''}."
        )
        yield Found("small_objects", round(share * len(truth.boxes)), truth.images[smallest], message)


_FINDERS = (_doubled, _classes, _small)
