"""A smaller or translated model against the one it was made from, on the same images: what changed, and how sure that is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.printable import counted
from pocketvision.statistics import Headline, Interval, paired_drop, wilson
from pocketvision.tasks.classification.metrics import HEADLINE
from pocketvision.tasks.classification.record import ClassRecord, stacked


@dataclass(frozen=True)
class ClassComparison:
    """Answers of a candidate beside the reference's, for `images` images.

    Shares and probabilities are in [0, 1]. Without labels the accuracies and their intervals are None. `drop` is the
    reference's accuracy less the candidate's, in percentage points, with its paired 95 % interval.
    """

    images: int
    top1_agreement: float
    max_probability_difference: float
    mean_probability_difference: float
    reference_accuracy: float | None = None
    reference_interval: Interval | None = None
    accuracy: float | None = None
    interval: Interval | None = None
    drop: float | None = None
    drop_interval: Interval | None = None

    @property
    def headline(self) -> Headline | None:
        """The candidate's accuracy."""
        return None if self.accuracy is None else Headline(HEADLINE, self.accuracy, self.interval)

    @property
    def reference_headline(self) -> Headline | None:
        """The reference's accuracy."""
        known = self.reference_accuracy
        return None if known is None else Headline(HEADLINE, known, self.reference_interval)

    @property
    def kept(self) -> float:
        """The share of the same answers."""
        return self.top1_agreement

    @property
    def closeness(self) -> tuple[float, ...]:
        """Points gained, then the share of the same answers, then how close the probabilities are."""
        return -(self.drop or 0.0), self.top1_agreement, -self.mean_probability_difference

    def within(self, points: float) -> bool:
        """Whether the drop is at most so many points. Unlabelled images can not tell, and their top-1 agreement stands in: the
        accuracy can not have dropped by more than the share of changed answers."""
        drop = 100 * (1 - self.top1_agreement) if self.drop is None else self.drop
        return drop <= points + 1e-9

    def is_sure(self, points: float) -> bool:
        """Whether the whole interval lies within so many points: with few images it does not, whatever the drop was."""
        return self.drop_interval is not None and self.drop_interval.high <= points + 1e-9

    def can_be_sure(self, points: float) -> bool:
        """Whether it would with not one answer changed; never without labels."""
        return self.drop is not None and paired_drop(0, 0, self.images).high <= points

    def explain(self, points: float) -> str:
        """In words: by how much it is above the limit."""
        if self.drop is None or self.drop_interval is None:
            changed = f"{100 * (1 - self.top1_agreement):.2f} % of {counted(self.images, 'answer')} changed"
            judge = "with labelled images (--data) the accuracy itself could be judged."
            return f"{changed}, and {points:g} are allowed (--max-accuracy-drop); {judge}"
        return (
            f"the accuracy drops by {self.drop:.2f} points (95 %: {self.drop_interval.low:.2f} to {self.drop_interval.high:.2f}) "
            f"on {counted(self.images, 'image')}, and {points:g} are allowed (--max-accuracy-drop)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def figures(self) -> dict[str, float]:
        """What a bundle's manifest keeps of a file, all numbers."""
        flat: dict[str, float] = {}
        for name, value in self.to_dict().items():
            if isinstance(value, dict):
                flat |= {f"{name}_{bound}": number for bound, number in value.items()}
            elif value is not None:
                flat[name] = value
        return flat


def compare_records(reference: Sequence[ClassRecord], candidate: Sequence[ClassRecord]) -> ClassComparison:
    """Of the same N >= 1 images in the same order; the truth is the reference's, where all have it."""
    one, other = stacked(reference), stacked(candidate)
    truth = one.labels if (one.labels >= 0).all() else None
    return compare(one.probabilities, other.probabilities, truth, answers=(one.answers, other.answers))


def compare(
    reference: NDArray[np.floating],
    candidate: NDArray[np.floating],
    truth: NDArray[np.int64] | None = None,
    *,
    answers: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> ClassComparison:
    """Compare probabilities (N, classes) of the same N >= 1 images, with their true classes (N,) where they are known.

    answers: what was answered, (N,) each; None takes the most probable classes.

    Raises ValueError when the shapes differ.
    """
    if reference.ndim != 2 or reference.shape != candidate.shape or len(reference) == 0:
        raise ValueError(
            f"probabilities have the shapes {reference.shape} and {candidate.shape}; expected equal (images, classes)"
        )
    difference = np.abs(np.asarray(reference, np.float64) - np.asarray(candidate, np.float64))
    difference[~np.isfinite(difference)] = np.inf
    # What is not a number is no answer: it agrees with nothing and is never right.
    answered = (reference.argmax(axis=1), candidate.argmax(axis=1)) if answers is None else answers
    best, found = (
        np.where(np.isfinite(each).all(axis=1), answer, no_answer)
        for each, answer, no_answer in zip((reference, candidate), answered, (-1, -2), strict=True)
    )
    images = len(reference)
    common = ClassComparison(
        images, float((best == found).mean()), float(difference.max()), float(difference.max(axis=1).mean())
    )
    if truth is None:
        return common
    right, right_too = best == truth, found == truth
    return replace(
        common,
        reference_accuracy=float(right.mean()),
        reference_interval=wilson(int(right.sum()), images),
        accuracy=float(right_too.mean()),
        interval=wilson(int(right_too.sum()), images),
        drop=100 * float(right.mean() - right_too.mean()),
        drop_interval=paired_drop(int((right & ~right_too).sum()), int((~right & right_too).sum()), images),
    )
