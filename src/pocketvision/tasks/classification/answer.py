"""What a model says about an image: label names with their probabilities. Numpy only; no torch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.decision import PLAIN, Decision


@dataclass(frozen=True, eq=False)
class Classification:
    """One probability for every class of a classifier.

    labels: class names in index order (the bundle's order). probabilities: (classes,) in [0, 1], float32 and summing to 1 as a
    network gives them. An answer that came over the wire has the classes that were told, a smoothed one the shown class.
    decided: the answer's place in `labels` where thresholds decided (decision.py); None is the most probable class. unsure:
    whether it is not to be relied on; None where the bundle says nothing of that. decision: the bundle's, for what is made of
    several answers. told_set: the prediction set that came over the wire. novelty: the share of
    ordinary pictures that are less unlike all that was learned from, in [0, 1] (runtime/novelty.py); None where that is not told.
    told_none: what came over the wire of none_of_these.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.floating]
    decided: int | None = None
    unsure: bool | None = None
    decision: Decision = PLAIN
    told_set: tuple[str, ...] | None = None
    novelty: float | None = None
    told_none: bool | None = None

    def __post_init__(self) -> None:
        if self.probabilities.shape != (len(self.labels),):
            raise ValueError(
                f"probabilities have the shape {self.probabilities.shape}; expected ({len(self.labels)},), one a label"
            )

    @property
    def kind(self) -> str:
        """The row of TASKS."""
        return "classification"

    @cached_property
    def index(self) -> int:
        """The answer's place in `labels`; the first of the most probable ones where no thresholds decided."""
        return int(self.probabilities.argmax()) if self.decided is None else self.decided

    @property
    def label(self) -> str:
        """The class's name."""
        return self.labels[self.index]

    @property
    def probability(self) -> float:
        """The probability of the class `label`, in [0, 1]."""
        return float(self.probabilities[self.index])

    @property
    def confidence(self) -> float:
        """The most probable class's probability, whatever thresholds decided: what is held against a baseline does not change
        with them."""
        return float(self.probabilities.max())

    @cached_property
    def prediction_set(self) -> tuple[str, ...] | None:
        """The classes that the image may be of, the most probable first; empty where it is none of these. None where the bundle
        tells no sets (conformal.py)."""
        if self.decision.sets is None:
            return self.told_set
        members = self.decision.sets.members(self.probabilities[None])[0]
        return tuple(label for label, _ in self.top(int(members.sum())))

    @property
    def none_of_these(self) -> bool | None:
        """Whether the image is unlike all classes: too novel, or with an empty prediction set. None where nothing tells."""
        novel = None
        if self.novelty is not None and self.decision.novel_from is not None:
            novel = self.novelty >= self.decision.novel_from
        if self.prediction_set is None and novel is None:
            return self.told_none
        return bool(novel or self.prediction_set == ())

    @property
    def headline(self) -> str:
        """As in "cat 97%", "cat 55%, unsure", "cat 55% or dog", "none of these (cat 30%)"."""
        said, found = f"{self.label} {self.probability:.0%}", self.prediction_set
        if self.none_of_these:
            return f"none of these ({said})"
        others = [label for label in found or () if label != self.label]
        if others:
            return f"{said} or {others[0]}" + (f" or {len(others) - 1} more" if len(others) > 1 else "")
        return said + (", unsure" if self.unsure else "")

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable classes with their probabilities, descending; equal ones in index order.

        All classes when there are fewer than k.
        """
        order = np.argsort(-self.probabilities, kind="stable")[: max(k, 0)]
        return [
            (self.labels[index], probability)
            for index, probability in zip(order.tolist(), self.probabilities[order].tolist(), strict=True)
        ]

    def __repr__(self) -> str:
        return f"Classification({self.label!r}, probability={self.probability:.4f}, classes={len(self.labels)})"
