"""What is explained: a class, a tag, a number, an object or a class of a mask, and the score that stands for it.

A kind of task has a row of CHOICES: from its answer about one image, and what the caller asks for, to a Choice; and from the
graph's outputs to that choice's score. Scores are made of numpy arrays and of torch's tensors alike, so that gradients and
perturbed images explain the same number.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.tasks.manifest import TaskManifest

OVERLAP = 0.5
"""IoU from which on a box of an image counts as the object that is explained."""


@dataclass(frozen=True, eq=False)
class Choice:
    """task: its name. kind: of TASKS. place: of the class among the labels; 0 of a number. words: for people, as in "cat 97%".
    anchors: of an object, the boxes among the graph's that are it; box: where it is, left, top, right, bottom in pixels of the
    image. region: of a class of a mask, the pixels of the logits (h, w) that are asked about."""

    task: str
    kind: str
    place: int
    words: str
    anchors: tuple[int, ...] = ()
    box: tuple[float, ...] = ()
    region: NDArray[np.bool_] | None = None


Tensors = Mapping[str, NDArray[Any]]

Choose = Callable[[Any, Tensors, TaskManifest, str | None], list[tuple[int, str, dict[str, Any]]]]
"""From an answer, the graph's outputs for its image by role (1, …), the task, and the class that is asked for (None: what was
answered) to places, words and what else a Choice has; none where there is nothing to explain."""


@dataclass(frozen=True)
class Row:
    """choose: see Choose. score: (N) from the graph's outputs by role, (N, …), arrays or tensors; what gradients are of. chance:
    the same as people read it, such as a probability; None where that is the score."""

    choose: Choose
    score: Callable[[Mapping[str, Any], Choice], Any]
    chance: Callable[[Mapping[str, Any], Choice], Any] | None = None


def _class(
    answer: Any, tensors: Tensors, task: TaskManifest, class_name: str | None
) -> list[tuple[int, str, dict[str, Any]]]:
    del tensors
    place = _asked(task, class_name) if class_name is not None else answer.index
    return [(place, f"{task.labels[place]} {answer.probabilities[place]:.0%}", {})]


def _tag(
    answer: Any, tensors: Tensors, task: TaskManifest, class_name: str | None
) -> list[tuple[int, str, dict[str, Any]]]:
    del tensors
    places = (
        [_asked(task, class_name)]
        if class_name is not None
        else list(answer.found) or [int(answer.probabilities.argmax())]
    )
    return [(place, f"{task.labels[place]} {answer.probabilities[place]:.0%}", {}) for place in places]


def _number(
    answer: Any, tensors: Tensors, task: TaskManifest, class_name: str | None
) -> list[tuple[int, str, dict[str, Any]]]:
    del tensors, task
    if class_name is not None:
        raise UsageError(f"A number has no classes, so there is none called {class_name!r}. Leave --class out.")
    return [(0, answer.headline, {})]


def _objects(
    answer: Any, tensors: Tensors, task: TaskManifest, class_name: str | None
) -> list[tuple[int, str, dict[str, Any]]]:
    wanted = None if class_name is None else _asked(task, class_name)
    boxes, scores = tensors["boxes"][0], tensors["scores"][0]
    found = []
    rows = zip(answer.classes.tolist(), answer.scores.tolist(), answer.boxes.tolist(), strict=True)
    for place, score, box in rows:
        if wanted is not None and place != wanted:
            continue
        # The answer's boxes lie in the image and are cut at its border; the graph's that has this score is the one.
        anchor = int(np.abs(scores[:, place] - score).argmin())
        same = tuple(np.flatnonzero(_overlaps(boxes, boxes[anchor]) >= OVERLAP).tolist()) or (anchor,)
        found.append((place, f"{task.labels[place]} {score:.0%}", {"anchors": same, "box": tuple(box)}))
    return found


def _masked(
    answer: Any, tensors: Tensors, task: TaskManifest, class_name: str | None
) -> list[tuple[int, str, dict[str, Any]]]:
    places = [_asked(task, class_name)] if class_name is not None else answer.ranked[:1]
    shown = tensors["logits"][0].argmax(axis=0)
    found = []
    for place in places:
        region = shown == place
        there = bool(region.any())
        words = f"{task.labels[place]} {answer.shares[place]:.0%}" + ("" if there else ", all pixels")
        found.append((place, words, {"region": region if there else np.ones_like(region)}))
    return found


def _overlaps(boxes: NDArray[Any], box: NDArray[Any]) -> NDArray[Any]:
    """(A) IoU of boxes (A, 4) with one (4)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    sizes, own = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1), (box[2:] - box[:2]).clip(0).prod()
    found: NDArray[Any] = shared / np.maximum(sizes + own - shared, 1e-9)
    return found


def _asked(task: TaskManifest, class_name: str) -> int:
    if class_name not in task.labels:
        raise unknown_name("class", class_name, task.labels)
    return task.labels.index(class_name)


def _logit(outputs: Mapping[str, Any], choice: Choice) -> Any:
    return outputs["logits"][:, choice.place]


def _probability(outputs: Mapping[str, Any], choice: Choice) -> Any:
    return outputs["probabilities"][:, choice.place]


def _object_score(outputs: Mapping[str, Any], choice: Choice) -> Any:
    """The highest score of the object's boxes: where the best one is covered, a neighbour may still see it."""
    own = outputs["scores"][:, list(choice.anchors), choice.place]
    return own.max(axis=1) if isinstance(own, np.ndarray) else own.amax(dim=1)


def _mask_score(outputs: Mapping[str, Any], choice: Choice) -> Any:
    """The mean logit over the region."""
    assert choice.region is not None
    logits = outputs["logits"][:, choice.place]
    region: Any = choice.region.astype(np.float32)
    if not isinstance(logits, np.ndarray):
        region = logits.new_tensor(region)
    return (logits * region).sum((1, 2)) / float(choice.region.sum())


CHOICES: dict[str, Row] = {
    "classification": Row(_class, _logit, _probability),
    "tags": Row(_tag, _logit, _probability),
    "number": Row(_number, lambda outputs, _choice: outputs["standardised"][:, 0]),
    "detection": Row(_objects, _object_score),
    "segmentation": Row(_masked, _mask_score),
}
"""By kind of task."""


def row_of(kind: str) -> Row:
    """The row of a kind. Raises UsageError for one that nobody says how to explain."""
    if kind not in CHOICES:
        raise UsageError(
            f"Answers of the kind {kind} can not be explained: nothing says which number stands for one. Known: "
            f"{', '.join(CHOICES)}."
        )
    return CHOICES[kind]


def choices_in(
    name: str, task: TaskManifest, answer: Any, outputs: Tensors, *, class_name: str | None = None, most: int = 1
) -> list[Choice]:
    """What of an answer is explained, at most so many; none of an image in which nothing was found. outputs: the graph's by
    name, for this image alone. Raises UsageError for a class that the task has not."""
    found = row_of(task.kind).choose(answer, task.tensors(outputs), task, class_name)[:most]
    return [Choice(name, task.kind, place, words, **more) for place, words, more in found]


def score_of(task: TaskManifest, outputs: Mapping[str, Any], choice: Choice) -> Any:
    """(N) the choice's score, from the graph's outputs by name, (N, …), arrays or tensors."""
    return row_of(task.kind).score(task.tensors(outputs), choice)


def chance_of(task: TaskManifest, outputs: Mapping[str, Any], choice: Choice) -> Any:
    """(N) the same as people read it: of a class its probability."""
    row = row_of(task.kind)
    return (row.chance or row.score)(task.tensors(outputs), choice)
