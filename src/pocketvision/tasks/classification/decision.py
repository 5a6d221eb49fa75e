"""From a classifier's probabilities to its answer: thresholds of the classes, and when it is unsure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.sets import ConformalSets
from pocketvision.tasks.manifest import ABSTAIN_BELOW, NOVEL_FROM, THRESHOLDS, TaskManifest


@dataclass(frozen=True, eq=False)
class Decision:
    """What postprocessing's `thresholds`, {class: threshold} of every class, and `abstain_below` mean.

    The answer is the class with the largest p / t, the first of equal ones; t are the thresholds, (classes,) in [0, 1], and
    only how they relate matters (two classes: t and 1 - t, so that one is said from the probability t on). A threshold of 0
    always wins. None: the most probable class.

    The score of an answer is its share of the sum of all p / t: without thresholds its probability, and at a threshold of two
    classes a half. abstain_below: an answer with a lower score is unsure; None says nothing of that. sets: which classes an image
    may be of: where that is not one class, the answer is unsure. novel_from: what is more novel is none of the classes.
    """

    thresholds: NDArray[np.float64] | None = None
    abstain_below: float | None = None
    sets: ConformalSets | None = None
    novel_from: float | None = None

    @classmethod
    def of(cls, task: TaskManifest) -> "Decision":
        """What a bundle says. Raises ValueError for thresholds that are no numbers in [0, 1], or not of the task's classes."""
        told, below = task.postprocessing.get(THRESHOLDS), task.postprocessing.get(ABSTAIN_BELOW)
        if below is not None and not _is_share(below):
            raise ValueError(f"{ABSTAIN_BELOW} is {below!r}; expected a number from 0 to 1")
        sets, novel = ConformalSets.of(task), task.postprocessing.get(NOVEL_FROM)
        if novel is not None and not _is_share(novel):
            raise ValueError(f"{NOVEL_FROM} is {novel!r}; expected a number from 0 to 1")
        if told is None:
            return cls(None, below, sets, novel)
        if not isinstance(told, dict) or set(told) != set(task.labels):
            named = sorted(set(told) ^ set(task.labels)) if isinstance(told, dict) else told
            raise ValueError(f"{THRESHOLDS} and labels differ in {str(named)[:80]}; expected one of each class")
        wrong = {name: value for name, value in told.items() if not _is_share(value)}
        if wrong:
            raise ValueError(f"{THRESHOLDS} has {str(wrong)[:80]}; expected numbers from 0 to 1")
        return cls(np.array([told[name] for name in task.labels], np.float64), below, sets, novel)

    @property
    def is_plain(self) -> bool:
        """Whether it is the most probable class, and nothing is said of being unsure."""
        told = (self.thresholds, self.abstain_below, self.sets, self.novel_from)
        return all(each is None for each in told)

    def scores(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, classes) shares in [0, 1] of probabilities (n, classes)."""
        values = np.asarray(probabilities, np.float64)
        if self.thresholds is None:
            return values
        always = self.thresholds == 0
        if always.any():
            return np.broadcast_to(always / always.sum(), values.shape).copy()
        ratios = values / self.thresholds
        shares: NDArray[np.float64] = ratios / ratios.sum(axis=1, keepdims=True)
        return shares

    def unsure(self, scores: NDArray[np.floating], probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(n,) of the answers' scores (n,) and the probabilities (n, classes)."""
        low: NDArray[np.bool_] = np.asarray(scores) < (0.0 if self.abstain_below is None else self.abstain_below)
        return low if self.sets is None else low | (self.sets.members(probabilities).sum(axis=1) != 1)


PLAIN = Decision()
"""The most probable class, and nothing else."""


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
