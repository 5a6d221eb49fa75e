"""A classification in JSON and as cells of a table."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.task import Alone, Detail, Wire

DECIMALS = 6
"""Places of a probability in JSON Lines, where it stands beside `answers`."""

_CLASS = {"label": {"type": "string"}, "probability": {"type": "number", "minimum": 0, "maximum": 1}}
_NAMES = ("label", "probability", "top")
SCHEMA = {
    "description": "The most probable class, and the first `top_k` of them, descending.",
    "properties": {
        **_CLASS,
        "top": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": _CLASS, "required": list(_CLASS)},
        },
    },
    "required": list(_NAMES),
}


def to_json(answer: Classification, detail: Detail) -> dict[str, Any]:
    """`label`, `probability`, and `top`: `top_k` objects of the two."""
    top = [{"label": label, "probability": share} for label, share in answer.top(detail.top_k)]
    return {"label": answer.label, "probability": answer.probability, "top": top}


def from_json(document: Mapping[str, Any]) -> Classification:
    """An answer with the classes of `top` alone."""
    top = [(each["label"], float(each["probability"])) for each in document["top"]]
    stated = (document["label"], float(document["probability"]))
    if not all(isinstance(label, str) and math.isfinite(share) for label, share in (stated, *top)):
        raise ValueError("a class without a name, or a probability that is no number")
    if top[:1] != [stated]:
        raise ValueError(f"top begins with {top[:1]}; expected {stated}, the label")
    labels, shares = zip(*top, strict=True)
    return Classification(labels, np.array(shares))


def columns(detail: Detail) -> list[str]:
    """`label`, `probability`, with top_k above 1 also `label_2`, `probability_2` …"""
    more = [f"{key}_{place}" for place in range(2, detail.top_k + 1) for key in ("label", "probability")]
    return ["label", "probability", *more]


def cells(answer: Classification, detail: Detail) -> list[object]:
    """The most probable classes; empty texts where there are fewer than top_k."""
    found = [cell for each in answer.top(detail.top_k) for cell in each]
    return [*found, *[""] * (2 * detail.top_k - len(found))]


def _prediction(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in _NAMES}


def _line(answer: Classification | None, detail: Detail) -> dict[str, Any]:
    """`label`, `probability`, with top_k above 1 also `top` as a list of [label, probability]."""
    top = [] if answer is None else [[label, round(share, DECIMALS)] for label, share in answer.top(detail.top_k)]
    label, probability = top[0] if top else (None, None)
    more = {"top": top} if detail.top_k > 1 else {}
    return {"label": label, "probability": probability, **more}


def _smoothed(shown: Classification | None) -> dict[str, Any]:
    if shown is None:
        return {"smooth_label": None, "smooth_score": 0.0}
    return {"smooth_label": shown.label, "smooth_score": round(shown.probability, DECIMALS)}


WIRE = Wire[Classification](to_json, from_json, SCHEMA, columns, cells, Alone(_prediction, _line, _smoothed))
