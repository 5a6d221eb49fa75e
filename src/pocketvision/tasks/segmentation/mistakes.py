"""Images with wrong pixels, the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.segmentation.metrics import iou, mean, sums_of
from pocketvision.tasks.segmentation.record import SegmentationRecord, SmallMask


@dataclass(frozen=True, eq=False)
class SegmentationMistake:
    """iou: of the image, the mean over the classes that are there or said. wrong: share of its pixels. meant, said: the classes
    that most of those are of, and were taken for; said is empty where it was nothing. there, answered: masks in small."""

    path: str
    iou: float
    wrong: float
    meant: str
    said: str
    there: SmallMask
    answered: SmallMask

    @property
    def badness(self) -> float:
        """How far from a mean IoU of 1."""
        return 1 - self.iou

    @property
    def text(self) -> str:
        """As in "12% wrong, most of it road → grass"."""
        return f"{self.wrong:.0%} wrong, most of it {self.meant} → {self.said or 'nothing'}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        kept = {name: getattr(self, name) for name in ("path", "iou", "wrong", "meant", "said")}
        return {**kept, "badness": self.badness}


def mistakes(
    records: Sequence[SegmentationRecord], paths: Sequence[str], task: TaskManifest
) -> list[SegmentationMistake]:
    """Of n records with truth, and their images' paths."""
    found, names = [], (*task.labels, "")
    for record, path in zip(records, paths, strict=True):
        assert record.counts is not None and record.there is not None, "it has truth"
        confusion = record.counts.confusion
        wrong = confusion.copy()
        np.fill_diagonal(wrong, 0)
        if not wrong.any():
            continue
        meant, said = np.unravel_index(int(wrong.argmax()), wrong.shape)
        own = float(mean(iou(*sums_of(confusion))))
        share = float(wrong.sum() / confusion.sum())
        found.append(
            SegmentationMistake(path, own, share, names[int(meant)], names[int(said)], record.there, record.said)
        )
    return sorted(found, key=lambda each: each.iou)
