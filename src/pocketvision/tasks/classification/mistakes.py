"""The wrong answers of a classifier, the most confident first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketvision.tasks.classification.record import ClassRecord, stacked
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import TaskMistake


@dataclass(frozen=True)
class Mistake:
    """A wrong answer. probability: of the predicted class; true_probability: of the true one."""

    path: str
    true: str
    predicted: str
    probability: float
    true_probability: float

    @property
    def text(self) -> str:
        """As in "cat → dog 97 %"."""
        return f"{self.true} → {self.predicted} {self.probability:.0%}"

    @property
    def badness(self) -> float:
        """How sure it was."""
        return self.probability

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def own_mistakes(found: Sequence[TaskMistake]) -> tuple[Mistake, ...]:
    """Those that a classifier made, as they are."""
    return tuple(mistake for mistake in found if isinstance(mistake, Mistake))


def mistakes(records: Sequence[ClassRecord], paths: Sequence[str], task: TaskManifest) -> tuple[Mistake, ...]:
    """Of n records with truth, and their images' paths."""
    answers = stacked(records)
    guesses = answers.answers
    wrong = np.flatnonzero(guesses != answers.labels)
    by_confidence = wrong[np.argsort(-answers.probabilities[wrong, guesses[wrong]], kind="stable")]
    return tuple(
        Mistake(
            path=paths[index],
            true=task.labels[answers.labels[index]],
            predicted=task.labels[guesses[index]],
            probability=float(answers.probabilities[index, guesses[index]]),
            true_probability=float(answers.probabilities[index, answers.labels[index]]),
        )
        for index in by_confidence.tolist()
    )
