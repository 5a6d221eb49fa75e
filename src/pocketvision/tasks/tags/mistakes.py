"""Images with wrong tags, the worst first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.tags.record import TagRecord, stacked


@dataclass(frozen=True)
class TagMistake:
    """missed: tags that the image has and the model did not say; wrong: the other way round, each with its probability.
    badness: the summed distance of their probabilities from the truth."""

    path: str
    missed: dict[str, float]
    wrong: dict[str, float]
    badness: float

    @property
    def text(self) -> str:
        """As in "missed cat 12%; wrongly sofa 81%"."""
        parts = [("missed", self.missed), ("wrongly", self.wrong)]
        return "; ".join(
            f"{word} " + ", ".join(f"{name} {share:.0%}" for name, share in tags.items())
            for word, tags in parts
            if tags
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def mistakes(records: Sequence[TagRecord], paths: Sequence[str], task: TaskManifest) -> list[TagMistake]:
    """Of n records with truth, and their images' paths."""
    rows = stacked(records)
    assert rows.marks is not None, "they have truth"
    found = []
    for place in np.flatnonzero((rows.said != rows.marks).any(axis=1)).tolist():
        shares, marks = rows.probabilities[place], rows.marks[place]
        differ = np.flatnonzero(rows.said[place] != marks).tolist()
        sides = [{task.labels[tag]: float(shares[tag]) for tag in differ if marks[tag] == has} for has in (True, False)]
        badness = float(np.abs(shares - marks)[differ].sum())
        found.append(TagMistake(paths[place], sides[0], sides[1], badness))
    return sorted(found, key=lambda each: -each.badness)
