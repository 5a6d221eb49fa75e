"""What export, prune, quantize and fit share: what a bundle, or a variant of it, answers to images, by task."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.runtime.batches import Outputs
from pocketvision.tasks.catalog import decoded
from pocketvision.tasks.comparing import MEASURED, Answered
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.truth import Truth

Run = Callable[[NDArray[Any]], Outputs]
"""From preprocessed images (N, 3, H, W) to a graph's outputs by name, (N, …) each."""

Placed = tuple[NDArray[Any], Sequence[Placement]]
"""A batch of inputs, and where each image lies in its own."""


def answered(
    tasks: Mapping[str, TaskManifest], run: Run, batches: Iterable[Placed], truth: Mapping[str, Truth]
) -> Answered:
    """Ask `run` about images that are one input each. truth: by task, of all of them, by the tasks' labels; empty where nobody
    said anything. Only records are kept, so the images may be more than memory holds."""
    found, seen = Answered.nothing_of(tasks), 0
    for images, placements in batches:
        outputs = run(images)
        for row, answers in enumerate(decoded(tasks, outputs, placements, MEASURED)):
            found.add(tasks, {name: values[[row]] for name, values in outputs.items()}, answers, truth, seen)
            seen += 1
    return found


def answered_with(
    tasks: Mapping[str, TaskManifest], outputs: Outputs, placements: Sequence[Placement], truth: Mapping[str, Truth]
) -> Answered:
    """The same of outputs for all N images that are at hand already."""
    return answered(tasks, lambda _: outputs, [(np.empty(0), placements)], truth)


def json_safe(value: Any) -> Any:
    """The value for JSON, which has no infinity: what is not finite is put in words."""
    if isinstance(value, dict):
        return {name: json_safe(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
