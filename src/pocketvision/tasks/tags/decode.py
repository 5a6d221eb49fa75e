"""From a graph's tensors to Tags."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import THRESHOLDS, TaskManifest, Tensors
from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.task import Detail

LOGITS, PROBABILITIES = "logits", "probabilities"
"""The roles of the outputs, (N, tags) each."""

THRESHOLD = 0.5
"""Of a tag for which the bundle ships none."""


def decode(outputs: Tensors, placements: Sequence[Placement], task: TaskManifest, detail: Detail) -> list[Tags]:
    """One answer for every row of the probabilities. Where an image lies in its input does not matter. detail's min_score
    takes the place of the thresholds that ship."""
    del placements
    thresholds = thresholds_of(task)
    if detail.min_score is not None:
        thresholds = np.full(len(task.labels), detail.min_score)
    return [Tags(task.labels, row, thresholds) for row in outputs[PROBABILITIES]]


def thresholds_of(task: TaskManifest) -> NDArray[np.float64]:
    """(tags,) that the bundle ships. Raises ValueError for what is no number in [0, 1], or of no tag."""
    kept = task.postprocessing.get(THRESHOLDS, {})
    if not isinstance(kept, dict) or set(kept) - set(task.labels):
        raise ValueError(f"{THRESHOLDS} is {str(kept)[:80]}; expected one of each tag")
    wrong = {name: each for name, each in kept.items() if not isinstance(each, int | float) or not 0 <= each <= 1}
    if wrong:
        raise ValueError(f"{THRESHOLDS} has {str(wrong)[:80]}; expected numbers from 0 to 1")
    return np.array([float(kept.get(name, THRESHOLD)) for name in task.labels])
