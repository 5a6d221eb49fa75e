"""A kind of truth that lives in the tests, points in images, zero to many, sometimes missing, and a source that gives it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import OWN_FILE, Source
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.truth import Truth


@dataclass(frozen=True, eq=False)
class Points:
    """Points in images, (x, y) in pixels; `present` tells an image without points from one nobody looked at."""

    rows: Ragged
    present: NDArray[np.bool_]
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def strata(self) -> NDArray[np.int64]:
        return np.minimum(self.rows.lengths, 1)

    def class_counts(self) -> NDArray[np.int64]:
        return np.zeros(0, np.int64)

    def select(self, indices: NDArray[np.int64]) -> "Points":
        return replace(self, rows=self.rows.select(indices), present=self.present[indices])

    def through(self, index: int, placement: Placement) -> "Points":
        alone = self.select(np.array([index]))
        xy = placement.to_input(alone.rows.columns["xy"].astype(np.float64))
        return replace(alone, rows=Ragged(alone.rows.offsets, {"xy": xy.astype(np.float32)}))

    def in_classes(self, class_names: tuple[str, ...]) -> "Points":
        return replace(self, class_names=class_names)

    def said(self, index: int) -> bytes:
        return b"points" + self.rows.row(index)["xy"].tobytes() if self.present[index] else b""


def points(*counts: int) -> Points:
    """counts: of each image, -1 where nobody looked."""
    rows = [{"xy": np.full((max(count, 0), 2), count, np.float32)} for count in counts]
    return Points(Ragged.of(rows), np.array(counts) >= 0)


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
