"""From a classifier's tensors to Classifications."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.decision import Decision
from pocketvision.tasks.manifest import NOVELTY, TaskManifest, Tensors
from pocketvision.tasks.task import Detail

LOGITS, PROBABILITIES = "logits", "probabilities"
"""The roles of a classifier's outputs, (N, classes) each."""


def classify(
    outputs: Tensors, placements: Sequence[Placement], manifest: TaskManifest, detail: Detail
) -> list[Classification]:
    """One Classification for every row of the probabilities (N, classes), decided as the bundle says. Where an image lies in its
    input does not matter, and all classes are kept, whatever is shown of them."""
    del placements, detail
    decision, probabilities = Decision.of(manifest), outputs[PROBABILITIES]
    if (
        NOVELTY not in outputs
    ):  # of a runtime or a graph that does not tell it: nothing is said then, rather than "sure"
        decision = replace(decision, novel_from=None)
    if decision.is_plain:
        return [Classification(manifest.labels, row) for row in probabilities]
    scores = decision.scores(probabilities)
    unsure = decision.unsure(scores.max(axis=1), probabilities)
    novelty: list[float | None] = [None] * len(probabilities)
    if decision.novel_from is not None:
        novelty = outputs[NOVELTY].tolist()
        unsure = unsure | (outputs[NOVELTY] >= decision.novel_from)
    rows = zip(probabilities, scores.argmax(axis=1).tolist(), unsure.tolist(), novelty, strict=True)
    return [
        Classification(manifest.labels, row, place, doubt, decision, None, novel) for row, place, doubt, novel in rows
    ]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float32]:
    """Probabilities (N, classes) of logits (N, classes): softmax(logits / temperature), computed in float64."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
