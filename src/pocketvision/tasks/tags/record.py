"""What an image adds to the figures of tags."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.tags.decode import PROBABILITIES, thresholds_of
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.truth import Truth


@dataclass(frozen=True, eq=False)
class TagRecord:
    """probabilities: (tags,). said: (tags,) whether each is at or above the bundle's threshold. marks: (tags,) the truth; None
    where nobody said it."""

    probabilities: NDArray[np.float32]
    said: NDArray[np.bool_]
    marks: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class TagRows:
    """Of n >= 1 images (n, tags) each; marks are None unless all of them have truth."""

    probabilities: NDArray[np.float64]
    said: NDArray[np.bool_]
    marks: NDArray[np.bool_] | None


def record(outputs: Tensors, answer: Tags, truth: Truth | None, task: TaskManifest) -> TagRecord:
    """Of one image, whose truth is by the task's labels. What was shown of the answer does not matter."""
    del answer
    probabilities = outputs[PROBABILITIES][0]
    marks = truth.marks[0] if isinstance(truth, TagLabels) else None
    return TagRecord(probabilities, probabilities >= thresholds_of(task), marks)


def stacked(records: Sequence[TagRecord]) -> TagRows:
    """One array of each."""
    marks = [each.marks for each in records if each.marks is not None]
    return TagRows(
        np.stack([each.probabilities for each in records]).astype(np.float64),
        np.stack([each.said for each in records]),
        np.stack(marks) if len(marks) == len(records) else None,
    )
