"""An evaluation: the figures of each task on a set of images, and what these were to the training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pocketvision.baseline import Distribution, baseline_of
from pocketvision.evaluation.overlap import UNKNOWN, WORDS, Overlap, Role
from pocketvision.tasks.classification.calibration import Calibration
from pocketvision.tasks.classification.metrics import ClassificationMetrics
from pocketvision.tasks.classification.mistakes import Mistake, own_mistakes
from pocketvision.tasks.classification.record import ClassAnswers, stacked
from pocketvision.tasks.measuring import TaskEvaluation


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read and so is in no figure."""

    path: str
    reason: str


class Further(Protocol):
    """What was measured beside the figures."""

    @property
    def text(self) -> str:
        """In a sentence."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A bundle measured on n readable images with truth.

    name: what the images are: "validation", "test" or a name of the caller's.
    role: what they were to the training (overlap.py). overlap: how many of the images given it had seen; these are in no figure,
    unless there are no others. None where it can not be known.
    further: what else was asked for, by name: `slices`, `robustness`, `views` (evaluation/further.py).
    root: the folder that relative paths start from. paths: (n).
    tasks: by name, at least one: those that some of the images have truth of.
    unreadable: images that are in no figure. seconds: wall time of reading and predicting.
    brightness: (n) float32, see baseline.py; None where it was not measured. confidences: (n) by task, for the same.
    """

    name: str
    role: Role
    root: Path
    paths: tuple[str, ...]
    tasks: Mapping[str, TaskEvaluation]
    unreadable: tuple[Unreadable, ...]
    seconds: float
    brightness: NDArray[np.float32] | None = None
    confidences: Mapping[str, Sequence[float | None]] | None = None
    overlap: Overlap | None = None
    further: Mapping[str, Further] = field(default_factory=dict)

    @property
    def first(self) -> TaskEvaluation:
        """The first task's part."""
        return next(iter(self.tasks.values()))

    @property
    def selection(self) -> bool | None:
        """True when the images took part in the training (chose its epoch, or were learned from), so that the figures flatter;
        False when they are untouched; None when nobody can tell."""
        return None if self.role == "given" else self.role != "test"

    @property
    def word(self) -> str:
        """What the images were to the training, in words."""
        if self.role == "given" and self.overlap is not None:
            return "none of which it learned from"
        return WORDS[self.role]

    @property
    def overlap_text(self) -> str:
        """A sentence about the images that the model has seen before; empty where there are none, or it is clear from `word`."""
        if self.overlap is None:
            return "" if self.role != "given" else UNKNOWN
        return self.overlap.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the figures of a task that is alone, else those of each under `tasks`. No NaN."""
        parts = {name: each.to_dict() for name, each in self.tasks.items()}
        return {
            "name": self.name,
            "role": self.role,
            "selection": self.selection,
            "learned_from": None if self.overlap is None else self.overlap.to_dict(),
            **(self.first.to_dict() if len(parts) == 1 else {"images": len(self.paths), "tasks": parts}),
            "unreadable": [{"path": image.path, "reason": image.reason} for image in self.unreadable],
            "unreadable_count": len(self.unreadable),
            "seconds": self.seconds,
            **{name: each.to_dict() for name, each in self.further.items()},
        }

    def summary(self, task: str | None = None) -> dict[str, Any]:
        """What a bundle keeps of a task (None: the first): figures without curves and without a word about single files."""
        seen = None if self.overlap is None else self.overlap.to_dict()
        return {
            "name": self.name,
            "role": self.role,
            "selection": self.selection,
            "learned_from": None if seen is None else {name: value for name, value in seen.items() if name != "files"},
            **(self.first if task is None else self.tasks[task]).summary(),
            "unreadable_count": len(self.unreadable),
            "left_out": 0 if self.overlap is None else self.overlap.left_out,
        }

    def baseline(self, split: str) -> dict[str, Distribution]:
        """What a bundle keeps to hold later images against (baseline.py); empty where brightness was not measured."""
        if self.brightness is None or self.confidences is None:
            return {}
        return baseline_of(self.confidences, self.brightness, split)

    # What an evaluation of classification has had from the beginning: the first such task's.

    @property
    def _classified(self) -> TaskEvaluation:
        own = (each for each in self.tasks.values() if isinstance(each.metrics, ClassificationMetrics))
        return next(own, self.first)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the bundle's order."""
        return self._classified.task.labels

    @property
    def metrics(self) -> ClassificationMetrics:
        """Every figure."""
        found = self._classified.metrics
        if not isinstance(found, ClassificationMetrics):
            raise AttributeError(
                f"a task of kind {self.first.task.kind} is measured otherwise; see tasks[NAME].metrics"
            )
        return found

    @property
    def calibration(self) -> Calibration:
        """How far the probabilities can be trusted."""
        found = self.metrics.calibration
        assert found is not None, "an evaluation has one"
        return found

    @property
    def mistakes(self) -> Sequence[Mistake]:
        """Every wrong answer, the most confident first."""
        return own_mistakes(self._classified.mistakes)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n) true classes, index into `class_names`."""
        return self._answers.labels

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(n, classes), the bundle's answers."""
        return self._answers.probabilities

    @property
    def _answers(self) -> ClassAnswers:
        assert self.metrics, "of classification"
        return stacked(self._classified.records)


def untouched_first(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Those on images that took no part in the training, then the others, each in their order: the first is the one to read."""
    return sorted(evaluations, key=lambda each: each.selection is not False)
