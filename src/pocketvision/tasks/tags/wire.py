"""Tags in JSON and as cells of a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.task import Detail, Wire

_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
SCHEMA = {
    "description": "The tags at or above their thresholds, the most probable first; an empty list where there are none.",
    "properties": {
        "tags": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "probability": _SHARE, "threshold": _SHARE},
                "required": ["label", "probability", "threshold"],
            },
        }
    },
    "required": ["tags"],
}


def to_json(answer: Tags, detail: Detail) -> dict[str, Any]:
    """`tags`: at most detail.most objects."""
    return {
        "tags": [
            {
                "label": answer.labels[place],
                "probability": float(answer.probabilities[place]),
                "threshold": float(answer.thresholds[place]),
            }
            for place in answer.found[: detail.most]
        ]
    }


def from_json(document: Mapping[str, Any]) -> Tags:
    """An answer with the tags that are told alone."""
    rows = [(each["label"], float(each["probability"]), float(each["threshold"])) for each in document["tags"]]
    if not all(isinstance(label, str) and 0 <= low <= share <= 1 for label, share, low in rows):
        raise ValueError("a tag without a name, or a probability that is none or below its threshold")
    columns = np.array([row[1:] for row in rows], np.float64).reshape(-1, 2)
    return Tags(tuple(row[0] for row in rows), columns[:, 0], columns[:, 1])


def columns(_: Detail) -> list[str]:
    """`tags` and `probabilities`."""
    return ["tags", "probabilities"]


def cells(answer: Tags, detail: Detail) -> list[object]:
    """The names, and their probabilities in the same order, with ";" between them: as `train --task tags` reads them."""
    found = answer.found[: detail.most]
    shares = ";".join(f"{answer.probabilities[place]:.6f}" for place in found)
    return [";".join(answer.labels[place] for place in found), shares]


WIRE = Wire[Tags](to_json, from_json, SCHEMA, columns, cells)
