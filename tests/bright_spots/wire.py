"""How spots are told: as JSON and as cells."""

import math
from collections.abc import Mapping
from typing import Any

from bright_spots.answer import BrightSpots, Spot
from pocketvision.tasks.task import Detail, Wire

_NUMBER = {"type": "number"}
_SPOT = {
    "type": "object",
    "required": ["x", "y", "score"],
    "properties": {"x": _NUMBER, "y": _NUMBER, "score": {**_NUMBER, "minimum": 0, "maximum": 1}},
}


def to_json(answer: BrightSpots, _detail: Detail) -> dict[str, Any]:
    return {"spots": [{"x": each.x, "y": each.y, "score": each.score} for each in answer.spots]}


def from_json(document: Mapping[str, Any]) -> BrightSpots:
    spots = [Spot(float(each["x"]), float(each["y"]), float(each["score"])) for each in document["spots"]]
    if not all(math.isfinite(number) for each in spots for number in (each.x, each.y, each.score)):
        raise ValueError("a number that is none")
    return BrightSpots(tuple(spots))


WIRE = Wire[BrightSpots](
    to_json,
    from_json,
    {"properties": {"spots": {"type": "array", "items": _SPOT}}, "required": ["spots"]},
    columns=lambda _: ["count", "surest"],
    cells=lambda answer, _: [len(answer.spots), "" if answer.confidence is None else answer.confidence],
)
