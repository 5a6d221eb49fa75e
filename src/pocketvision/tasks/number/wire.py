"""A number in JSON and as cells of a table."""

import math
from collections.abc import Mapping
from typing import Any

from pocketvision.tasks.number.answer import Interval, Number
from pocketvision.tasks.task import Detail, Wire

_NUMBER = {"type": "number"}
SCHEMA = {
    "description": "A number in its unit. The interval holds the truth of the share `coverage` of images like the bundle's own.",
    "properties": {
        "value": _NUMBER,
        "unit": {"type": "string"},
        "interval": {
            "type": ["object", "null"],
            "properties": {
                "low": _NUMBER,
                "high": _NUMBER,
                "coverage": {**_NUMBER, "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            },
            "required": ["low", "high", "coverage"],
        },
    },
    "required": ["value", "unit", "interval"],
}


def to_json(answer: Number, _: Detail) -> dict[str, Any]:
    """`value`, `unit`, and `interval`: `low`, `high` and `coverage`, or null."""
    found = answer.interval
    told = None if found is None else {"low": found.low, "high": found.high, "coverage": found.coverage}
    return {"value": answer.value, "unit": answer.unit, "interval": told}


def from_json(document: Mapping[str, Any]) -> Number:
    """The way back."""
    value, unit, told = float(document["value"]), document["unit"], document["interval"]
    if not isinstance(unit, str) or not math.isfinite(value):
        raise ValueError("a number that is none, or a unit that is no text")
    if told is None:
        return Number(value, unit)
    found = Interval(float(told["low"]), float(told["high"]), float(told["coverage"]))
    if not found.low <= value <= found.high or not 0 < found.coverage < 1:
        raise ValueError(f"the interval {told!r} does not hold the number {value!r}")
    return Number(value, unit, found)


def columns(_: Detail) -> list[str]:
    """`value`, `low`, `high` and `unit`."""
    return ["value", "low", "high", "unit"]


def cells(answer: Number, _: Detail) -> list[object]:
    """Empty texts for an interval that there is not."""
    found = answer.interval
    return [answer.value, *(("", "") if found is None else (found.low, found.high)), answer.unit]


WIRE = Wire[Number](to_json, from_json, SCHEMA, columns, cells)
