"""A source of bright spots: a folder of images with a file that says where the spots are, and which class each is of."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from bright_spots.truth import Points
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import OWN_FILE, Source
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.truth import Truth

FILE = "spots.json"
"""Of a folder: what is known of each image, by path. {"class": name or null, "points": [[x, y], ...] or null}"""


def write_spots(folder: Path, known: dict[str, dict[str, Any]]) -> None:
    (folder / FILE).write_text(json.dumps(known), encoding="utf-8")


def read_spots(folder: Path, options: SourceOptions) -> Samples:
    known = json.loads((folder / FILE).read_text(encoding="utf-8"))
    rows = [{"xy": np.array(each["points"] or [], np.float32).reshape(-1, 2)} for each in known.values()]
    truth: dict[str, Truth] = {
        "spots": Points(Ragged.of(rows), np.array([each["points"] is not None for each in known.values()]))
    }
    found = [each["class"] for each in known.values()]
    if any(found):
        names = options.labels or tuple(sorted(set(filter(None, found))))
        truth["classification"] = ClassLabels(
            np.array([names.index(name) if name else -1 for name in found], np.int32), names
        )
    return Samples(folder, list(known), truth)


SPOTS = Source(
    expects=f"a folder with {FILE}",
    evidence=lambda path: OWN_FILE if (path / FILE).is_file() else None,
    kinds=("spots", "classification"),
    read=read_spots,
)
