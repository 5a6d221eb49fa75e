"""Rows of boxes in another run's order, to be compared place by place.

Most detectors say of fixed places what is there, always in one order. Those that choose their places by scores (Faster R-CNN, its
proposals) put two of nearly the same score in one order or the other, by rounding.
"""

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.decode import BOXES, SCORES
from pocketvision.tasks.manifest import Tensors
from pocketvision.tasks.task import TOLERANCE

PIXELS = 100.0
"""So many of a box's side weigh as much as all of a score: a tenth of a pixel is within the tolerance."""

NEAR = 0.01
"""Of a box's larger side: a box further off is another one."""


def in_order_of(reference: Tensors, candidate: Tensors) -> Tensors:
    """The candidate's boxes (N, A, 4) and scores (N, A, classes), each where the reference has the same one.

    Rows that are the same where they are stay. Others go to the nearest box of the same class, of a score within the tolerance;
    what has none stays different. Where no score is above the tolerance nothing is said, and the reference's box is put.
    """
    boxes, scores = np.array(candidate[BOXES]), np.array(candidate[SCORES])
    if boxes.shape != reference[BOXES].shape or scores.shape != reference[SCORES].shape:
        return candidate
    moved = False
    for image, (own, own_scores) in enumerate(zip(reference[BOXES], reference[SCORES], strict=True)):
        rows = _differing(own, own_scores, boxes[image], scores[image])
        if not len(rows):
            continue
        places = _matched(own[rows], own_scores[rows], boxes[image, rows], scores[image, rows])
        boxes[image, rows], scores[image, rows] = boxes[image, rows[places]], scores[image, rows[places]]
        unsaid = rows[np.fmax(own_scores[rows].max(axis=1), scores[image, rows].max(axis=1)) <= TOLERANCE]
        boxes[image, unsaid] = own[unsaid]
        moved = True
    return {**candidate, BOXES: boxes, SCORES: scores} if moved else candidate


def _differing(
    own: NDArray[np.floating],
    own_scores: NDArray[np.floating],
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
) -> NDArray[np.intp]:
    """Rows with another box or score at their place; none where anything is no number, which no order mends."""
    if not all(np.isfinite(each).all() for each in (own, own_scores, boxes, scores)):
        return np.empty(0, np.intp)
    apart = np.abs(own - boxes).max(axis=1, initial=0) > TOLERANCE * PIXELS
    return np.flatnonzero(apart | (np.abs(own_scores - scores).max(axis=1, initial=0) > TOLERANCE))


def _matched(
    own: NDArray[np.floating],
    own_scores: NDArray[np.floating],
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
) -> NDArray[np.intp]:
    """(n) for each of n rows the row that takes its place: an order of all of them."""
    found = np.full(len(own), -1)
    taken = np.zeros(len(own), bool)
    first, second = own_scores.argmax(axis=1), scores.argmax(axis=1)
    for kind in np.unique(first):
        mine, theirs = np.flatnonzero(first == kind), np.flatnonzero(second == kind)
        distance = np.zeros((len(mine), len(theirs)), np.float32)
        for side in range(4):
            distance = np.maximum(distance, np.abs(own[mine, side, None] - boxes[None, theirs, side]))
        reach = NEAR * (own[mine, 2:] - own[mine, :2]).max(axis=1) + TOLERANCE * PIXELS
        alike = np.abs(own_scores[mine, kind, None] - scores[None, theirs, kind]) <= TOLERANCE
        one, other = np.nonzero(alike & (distance <= reach[:, None]))
        for pair in np.argsort(distance[one, other], kind="stable"):
            place, row = mine[one[pair]], theirs[other[pair]]
            if found[place] < 0 and not taken[row]:
                found[place], taken[row] = row, True
    found[found < 0] = np.flatnonzero(~taken)
    return found
