"""Objects in JSON and as cells of a table."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from pocketvision.tasks.detection.answer import Detections, Passed
from pocketvision.tasks.task import Detail, Wire

_NUMBER = {"type": "number"}
_LINE = {"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 4}
_COUNT = {"type": "integer", "minimum": 0}
SCHEMA = {
    "description": "The objects at or above the thresholds of their classes, the highest score first.",
    "properties": {
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "score": {**_NUMBER, "minimum": 0, "maximum": 1},
                    "box": {**_LINE, "description": "Left, top, right, bottom in pixels of the upright image."},
                    "track": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "In a stream: which object, the same in every frame.",
                    },
                    "then": {
                        "type": "object",
                        "description": "Where a second model looked at it: that model's answers, by the tasks' names.",
                        "additionalProperties": {"type": "object"},
                    },
                },
                "required": ["label", "score", "box"],
            },
        },
        "passed": {
            "type": "object",
            "description": "In a stream: how many objects of each class crossed a line so far, to its right and to its left.",
            "properties": {
                "line": _LINE,
                "counts": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2},
                },
            },
            "required": ["line", "counts"],
        },
    },
    "required": ["objects"],
}
COLUMNS = ("label", "score", "x1", "y1", "x2", "y2")
SAID = "then"
"""The column of what was said of each object when it was looked at again, where that is wanted."""


def to_json(answer: Detections, detail: Detail) -> dict[str, Any]:
    """`objects`: at most detail.most."""
    rows = zip(answer.names, answer.scores.tolist(), answer.boxes.tolist(), strict=True)
    found: list[dict[str, Any]] = [{"label": name, "score": score, "box": box} for name, score, box in rows]
    if answer.tracks is not None:
        found = [{**each, "track": track} for each, track in zip(found, answer.tracks.tolist(), strict=True)]
    told: dict[str, Any] = {"objects": found[: detail.most]}
    if answer.passed is not None:
        counts = {name: list(both) for name, both in answer.passed.counts.items()}
        told["passed"] = {"line": list(answer.passed.line), "counts": counts}
    return told


def from_json(document: Mapping[str, Any]) -> Detections:
    """An answer whose labels are those of its objects, in the order of their first."""
    objects: list[Mapping[str, Any]] = list(document["objects"])
    labels = tuple(dict.fromkeys(each["label"] for each in objects))
    boxes = np.array([each["box"] for each in objects], np.float64).reshape(len(objects), 4)
    scores = np.array([float(each["score"]) for each in objects])
    named = all(isinstance(name, str) for name in labels)
    if not named or not np.isfinite(boxes).all() or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("an object without a name, a score outside [0, 1], or a box that is none")
    tracks = [int(each["track"]) for each in objects if "track" in each]
    return Detections(
        labels,
        boxes,
        scores,
        np.array([labels.index(each["label"]) for each in objects], np.int64),
        np.array(tracks, np.int64) if tracks else None,
        _passed(document.get("passed")),
    )


def _passed(document: Mapping[str, Any] | None) -> Passed | None:
    if document is None:
        return None
    x1, y1, x2, y2 = (float(each) for each in document["line"])
    if not all(map(isfinite, (x1, y1, x2, y2))):
        raise ValueError("a line that is none")
    counts = {name: (int(right), int(left)) for name, (right, left) in document["counts"].items()}
    return Passed((x1, y1, x2, y2), counts)


def columns(detail: Detail) -> list[str]:
    """COLUMNS, and SAID where objects were looked at again."""
    return [*COLUMNS, *([SAID] if detail.looked else [])]


def cells(answer: Detections, detail: Detail) -> list[object]:
    """Of one object its own; of several the texts of all with ";" between them."""
    names, scores = answer.names[: detail.most], answer.scores[: detail.most].tolist()
    boxes = answer.boxes[: detail.most].tolist()
    rows: list[list[object]] = [[name, score, *box] for name, score, box in zip(names, scores, boxes, strict=True)]
    if detail.looked:
        rows = [[*row, said] for row, said in zip(rows, answer.said, strict=False)]
    if len(rows) == 1:
        return rows[0]
    return [";".join(_text(row[place]) for row in rows) for place in range(len(columns(detail)))]


def parts(answer: Detections, detail: Detail) -> Sequence[Detections]:
    """An answer for each object."""
    return [answer.take(np.array([place])) for place in range(min(len(answer), detail.most))]


def _text(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


WIRE = Wire[Detections](to_json, from_json, SCHEMA, columns, cells, parts=parts)
