"""What an image adds to a classifier's figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.decode import LOGITS
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.truth import Truth


@dataclass(frozen=True, eq=False)
class ClassRecord:
    """logits, probabilities: (classes,). label: the true class's index; None where nobody said it. answer: the index of what was
    answered; None is the most probable class. unsure: see Classification."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    label: int | None
    answer: int | None = None
    unsure: bool | None = None


@dataclass(frozen=True, eq=False)
class ClassAnswers:
    """The records of n >= 0 images: logits, probabilities (n, classes); labels (n) int64, -1 where nobody said one; answers (n)
    int64; unsure (n), None where nothing is said of that."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    unsure: NDArray[np.bool_] | None


def record(outputs: Tensors, answer: Classification, truth: Truth | None, task: TaskManifest) -> ClassRecord:
    """Of one image, whose truth is by the task's labels. Of several inputs the first one's logits count."""
    del task
    label = int(truth.labels[0]) if isinstance(truth, ClassLabels) else None
    return ClassRecord(outputs[LOGITS][0], answer.probabilities, label, answer.decided, answer.unsure)


def stacked(records: Sequence[ClassRecord]) -> ClassAnswers:
    """One array of each; there is at least one."""
    probabilities = np.stack([each.probabilities for each in records])
    likeliest = probabilities.argmax(axis=1).tolist()
    decided = (place if each.answer is None else each.answer for each, place in zip(records, likeliest, strict=True))
    plain = all(each.unsure is None for each in records)
    return ClassAnswers(
        np.stack([each.logits for each in records]),
        probabilities,
        np.array([-1 if each.label is None else each.label for each in records], np.int64),
        np.fromiter(decided, np.int64, len(records)),
        None if plain else np.array([bool(each.unsure) for each in records]),
    )
