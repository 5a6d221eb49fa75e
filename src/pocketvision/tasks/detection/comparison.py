"""Two detectors on the same images."""

from collections.abc import Sequence

import numpy as np

from pocketvision.tasks.detection.bootstrap import means, resampled
from pocketvision.tasks.detection.matching import RIGHT, ignored_by_size, match
from pocketvision.tasks.detection.metrics import HEADLINE
from pocketvision.tasks.detection.precision import average_precisions, mean
from pocketvision.tasks.detection.record import DetectionRecord, joined
from pocketvision.tasks.detection.truth import areas
from pocketvision.tasks.figure_comparison import FigureComparison, Wording

WORDING = Wording(
    HEADLINE, "the average precision", kept="same", difference="", lost="{lost} % of the objects on {images} changed"
)


def compare(reference: Sequence[DetectionRecord], candidate: Sequence[DetectionRecord]) -> FigureComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's. kept: F1 of the candidate's objects, were the
    reference's the real ones: of the same class with an IoU of at least 0.5, at the thresholds that ship."""
    found = FigureComparison(len(reference), _same(reference, candidate), 0.0, WORDING)
    if any(each.there is None for each in reference):
        return found
    rows, classes = [joined(each) for each in (reference, candidate)], len(reference[0].found.labels)
    one, other = (mean(average_precisions(each, classes)) for each in rows)
    if one is None or other is None:
        return found
    drawn = [means(resampled(each, classes, 0)) for each in rows]
    shared = min(map(len, drawn))
    return found.judged((one, other), (drawn[0][:shared], drawn[1][:shared]))


def _same(reference: Sequence[DetectionRecord], candidate: Sequence[DetectionRecord]) -> float:
    hits = said = 0
    for one, other in zip(reference, candidate, strict=True):
        wanted, given = one.found.take(one.said), other.found.take(other.said)
        none = np.zeros(len(wanted), np.bool_)
        ignored = ignored_by_size(areas(wanted.boxes), none)
        states, _ = match(given, wanted.boxes, wanted.classes, none, ignored)
        hits += int((states[0, 0] == RIGHT).sum())
        said += len(wanted) + len(given)
    return 2 * hits / said if said else 1.0
