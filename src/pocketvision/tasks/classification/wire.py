"""A classification in JSON and as cells of a table."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.manifest import NOVELTY
from pocketvision.tasks.task import Alone, Detail, Wire

DECIMALS = 6
"""Places of a probability in JSON Lines, where it stands beside `answers`."""

UNSURE = "unsure"
"""Where the bundle decides by more than the probabilities, and nowhere else."""

SET = "prediction_set"
"""Where the bundle tells which classes an image may be of."""

NONE = "none_of_these"
"""Where the bundle tells novelty, or sets."""

_CLASS = {"label": {"type": "string"}, "probability": {"type": "number", "minimum": 0, "maximum": 1}}
_NAMES = ("label", "probability", "top")
SCHEMA = {
    "description": "The class that is answered, and the `top_k` most probable ones, descending. `unsure` stands where the bundle "
    "decides by thresholds, so that the answer may not be the most probable class, or says when it is unsure. `prediction_set`, "
    "where the bundle tells sets, has the classes that the image may be of; `none_of_these` says that it is of none; "
    "`novelty` is the share of ordinary images that are less unlike all that was learned from.",
    "properties": {
        **_CLASS,
        "top": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": _CLASS, "required": list(_CLASS)},
        },
        UNSURE: {"type": "boolean"},
        SET: {"type": "array", "items": {"type": "string"}},
        NONE: {"type": "boolean"},
        NOVELTY: {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": list(_NAMES),
}


def to_json(answer: Classification, detail: Detail) -> dict[str, Any]:
    """`label`, `probability`, and `top`: `top_k` objects of the two; `unsure`, `prediction_set`, `none_of_these` and `novelty`
    where those are said."""
    top = [{"label": label, "probability": share} for label, share in answer.top(detail.top_k)]
    return {"label": answer.label, "probability": answer.probability, "top": top, **_doubt(answer)}


def from_json(document: Mapping[str, Any]) -> Classification:
    """An answer with the classes of `top` alone, and its own where thresholds decided for one that is not among them."""
    top = [(each["label"], float(each["probability"])) for each in document["top"]]
    stated = (document["label"], float(document["probability"]))
    if not all(isinstance(label, str) and math.isfinite(share) for label, share in (stated, *top)):
        raise ValueError("a class without a name, or a probability that is no number")
    unsure = document.get(UNSURE)
    if unsure is None and top[:1] != [stated]:
        raise ValueError(f"top begins with {top[:1]}; expected {stated}, the label")
    told = top if stated in top else [*top, stated]
    labels, shares = zip(*told, strict=True)
    if len(set(labels)) != len(labels) or not isinstance(unsure, bool | None):
        raise ValueError("a class is told twice, or `unsure` is neither true nor false")
    found = document.get(SET)
    if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        raise ValueError(f"{SET} is {str(found)[:80]}; expected names of classes")
    decided = None if unsure is None else told.index(stated)
    none, novelty = document.get(NONE), document.get(NOVELTY)
    if not isinstance(none, bool | None) or not isinstance(novelty, int | float | None):
        raise ValueError(f"{NONE} is neither true nor false, or {NOVELTY} is no number")
    return Classification(
        labels,
        np.array(shares),
        decided,
        unsure,
        told_set=None if found is None else tuple(found),
        novelty=novelty,
        told_none=none,
    )


def columns(detail: Detail) -> list[str]:
    """`label`, `probability`, with top_k above 1 also `label_2`, `probability_2` …, `unsure`, `prediction_set` and
    `none_of_these` where those are said."""
    more = [f"{key}_{place}" for place in range(2, detail.top_k + 1) for key in ("label", "probability")]
    return [
        "label",
        "probability",
        *more,
        *([UNSURE] if detail.unsure else []),
        *([SET] if detail.sets else []),
        *([NONE] if detail.novel else []),
    ]


def cells(answer: Classification, detail: Detail) -> list[object]:
    """The answer, then the other classes, the most probable first; empty texts where there are fewer than top_k."""
    own = (answer.label, answer.probability)
    others = [each for each in answer.top(detail.top_k) if each[0] != answer.label]
    found = [cell for each in [own, *others][: detail.top_k] for cell in each]
    doubt = ["" if answer.unsure is None else str(answer.unsure).lower()] if detail.unsure else []
    sets = ["; ".join(answer.prediction_set or ())] if detail.sets else []
    none = ["" if answer.none_of_these is None else str(answer.none_of_these).lower()] if detail.novel else []
    return [*found, *[""] * (2 * detail.top_k - len(found)), *doubt, *sets, *none]


def _prediction(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in (*_NAMES, UNSURE, SET, NONE, NOVELTY) if name in told}


def _line(answer: Classification | None, detail: Detail) -> dict[str, Any]:
    """`label`, `probability`, with top_k above 1 also `top` as a list of [label, probability]; `unsure`, `prediction_set`,
    `none_of_these` and `novelty` where those are said."""
    if answer is None:
        return {"label": None, "probability": None, **({"top": []} if detail.top_k > 1 else {})}
    top = [[label, round(share, DECIMALS)] for label, share in answer.top(detail.top_k)]
    more = {"top": top} if detail.top_k > 1 else {}
    return {"label": answer.label, "probability": round(answer.probability, DECIMALS), **more, **_doubt(answer)}


def _smoothed(shown: Classification | None) -> dict[str, Any]:
    if shown is None:
        return {"smooth_label": None, "smooth_score": 0.0}
    doubt = {} if shown.unsure is None else {f"smooth_{UNSURE}": shown.unsure}
    return {"smooth_label": shown.label, "smooth_score": round(shown.probability, DECIMALS), **doubt}


def _doubt(answer: Classification) -> dict[str, Any]:
    told = {
        UNSURE: answer.unsure,
        SET: None if answer.prediction_set is None else list(answer.prediction_set),
        NONE: answer.none_of_these,
        NOVELTY: None if answer.novelty is None else round(answer.novelty, DECIMALS),
    }
    return {name: each for name, each in told.items() if each is not None}


WIRE = Wire[Classification](to_json, from_json, SCHEMA, columns, cells, Alone(_prediction, _line, _smoothed))
