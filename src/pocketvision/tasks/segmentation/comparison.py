"""Two models that segment, on the same images."""

from collections.abc import Sequence

import numpy as np

from pocketvision.tasks.figure_comparison import FigureComparison, Wording
from pocketvision.tasks.segmentation.metrics import HEADLINE, counts_of, iou, mean, resampled, sums_of
from pocketvision.tasks.segmentation.record import SegmentationRecord
from pocketvision.tasks.segmentation.truth import resized

WORDING = Wording(
    HEADLINE, "the mean IoU", kept="same", difference="", lost="{lost} % of the pixels of {images} changed"
)


def compare(reference: Sequence[SegmentationRecord], candidate: Sequence[SegmentationRecord]) -> FigureComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's. What is kept is the share of pixels that have
    the same class, on masks in small."""
    found = FigureComparison(len(reference), same_pixels(reference, candidate), 0.0, WORDING)
    if any(each.counts is None for each in (*reference, *candidate)):
        return found
    matrices = [np.stack([each.confusion for each in counts_of(records)]) for records in (reference, candidate)]
    one, other = (float(mean(iou(*sums_of(each.sum(axis=0))))) for each in matrices)
    if not np.isfinite([one, other]).all():
        return found
    drawn = [mean(iou(*resampled(each, 0))) for each in matrices]
    return found.judged((one, other), (drawn[0], drawn[1]))


def same_pixels(reference: Sequence[SegmentationRecord], candidate: Sequence[SegmentationRecord]) -> float:
    """The share, each image counting the same."""
    shares = []
    for one, other in zip(reference, candidate, strict=True):
        height, width = one.said.shape
        shares.append(float((one.said.mask == resized(other.said.mask, (width, height))).mean()))
    return float(np.mean(shares))
