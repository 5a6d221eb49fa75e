"""A kind of task from outside: what is in the left and the right half of an image, nothing or one thing each, with its box.

It reads a classifier's probabilities, so that any of the tests' graphs answers it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketvision.preprocessing import Placement
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.classification.task import CLASSIFICATION
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.task import Box, Detail, Role, Views, Wire

LEAST = 0.5


@dataclass(frozen=True)
class Find:
    """box: left, top, right, bottom in the image's pixels."""

    name: str
    score: float
    box: tuple[float, ...]


@dataclass(frozen=True)
class Halves:
    """What was found, none to two."""

    finds: tuple[Find, ...]
    kind: str = "halves"

    @property
    def confidence(self) -> float | None:
        return max((each.score for each in self.finds), default=None)

    @property
    def headline(self) -> str:
        return ", ".join(each.name for each in self.finds) or "nothing"


def decode(outputs: Tensors, placements: Sequence[Placement], manifest: TaskManifest, detail: Detail) -> list[Halves]:
    least = LEAST if detail.min_score is None else detail.min_score
    found = []
    for shares, place in zip(outputs["probabilities"], placements, strict=True):
        box = tuple(place.boxes_to_image(np.array([[0, 0, *place.input_size]]))[0].tolist())
        best = int(shares.argmax())
        finds = (Find(manifest.labels[best], float(shares[best]), box),) if shares[best] >= least else ()
        found.append(Halves(finds[: detail.most]))
    return found


def windows(size: tuple[int, int], _task: TaskManifest) -> list[Box]:
    width, height = size
    return [(left, 0, right, height) for left, right in ((0, width // 2), (width // 2, width))]


class Merging:
    """Finds add up."""

    def __init__(self, _placements: Sequence[Placement], task: TaskManifest, detail: Detail) -> None:
        self._finds: list[Find] = []
        self._task, self._detail = task, detail

    def add(self, tensors: Tensors, placement: Placement) -> None:
        self._finds += decode(tensors, [placement], self._task, self._detail)[0].finds

    def answer(self) -> Halves:
        return Halves(tuple(self._finds))


def to_json(answer: Halves, _detail: Detail) -> dict[str, Any]:
    return {"finds": [{"name": each.name, "score": each.score, "box": list(each.box)} for each in answer.finds]}


def from_json(document: Mapping[str, Any]) -> Halves:
    finds = [Find(each["name"], float(each["score"]), tuple(map(float, each["box"]))) for each in document["finds"]]
    if not all(math.isfinite(number) for each in finds for number in (each.score, *each.box)):
        raise ValueError("a number that is none")
    return Halves(tuple(finds))


def draw(canvas: Canvas, answer: Halves) -> None:
    for each in answer.finds:
        canvas.pen.rectangle(each.box, outline=(255, 255, 0), width=1)


NUMBER = {"type": "number"}
FIND = {
    "type": "object",
    "required": ["name", "score", "box"],
    "properties": {
        "name": {"type": "string"},
        "score": {**NUMBER, "minimum": 0, "maximum": 1},
        "box": {"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4},
    },
}
HALVES = replace(
    CLASSIFICATION,
    kind="halves",
    roles=(Role("probabilities", "probability", scale=1.0),),
    decode=decode,
    wire=Wire(
        to_json,
        from_json,
        {"properties": {"finds": {"type": "array", "items": FIND}}, "required": ["finds"]},
        columns=lambda _: ["found", "count"],
        cells=lambda answer, _: [answer.headline, len(answer.finds)],
    ),
    draw=draw,
    tracker=None,
    page=None,
    views=Views(lambda _: True, windows, Merging),
)


def reading_halves(labels: Sequence[str]) -> TaskManifest:
    """A task of the kind, of a graph that classifies."""
    return TaskManifest("halves", tuple(labels), {"probabilities": "probabilities"})
