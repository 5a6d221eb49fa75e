"""What an image adds to the figures of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.number.answer import Number
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.truth import Truth


@dataclass(frozen=True)
class NumberRecord:
    """value: answered. truth: None where nobody said it."""

    value: float
    truth: float | None


def record(outputs: Tensors, answer: Number, truth: Truth | None, task: TaskManifest) -> NumberRecord:
    """Of one image."""
    del outputs, task
    return NumberRecord(answer.value, float(truth.values[0]) if isinstance(truth, NumberLabels) else None)


def stacked(records: Sequence[NumberRecord]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """(n) answered, and (n) true: None unless all of them have truth."""
    truths = [each.truth for each in records if each.truth is not None]
    return np.array([each.value for each in records]), np.array(truths) if len(truths) == len(records) else None
