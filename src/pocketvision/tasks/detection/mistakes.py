"""Images with wrong or missed objects, the worst first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pocketvision.tasks.detection.error_kinds import BOTH, CLASS, KINDS, NONE, errors_of
from pocketvision.tasks.detection.record import DetectionRecord
from pocketvision.tasks.manifest import TaskManifest

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DetectionError:
    """One thing that is wrong. kind: one of error_kinds.KINDS. name: of the class that was said, or that was missed. score: None
    where it was missed. meant, meant_box: the object that a detection overlaps, where there is one."""

    kind: str
    name: str
    box: Box
    score: float | None = None
    meant: str | None = None
    meant_box: Box | None = None

    @property
    def badness(self) -> float:
        """The score of what is wrong; 1 for what was missed."""
        return 1.0 if self.score is None else self.score

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the box that was meant."""
        return {
            "kind": self.kind,
            "name": self.name,
            "box": [round(each, 2) for each in self.box],
            "score": self.score,
            "meant": self.meant,
        }


@dataclass(frozen=True)
class DetectionMistake:
    """errors: of the image's answer at the thresholds that ship, the worst first. badness: their sum."""

    path: str
    errors: tuple[DetectionError, ...]

    @property
    def badness(self) -> float:
        """Of all its errors."""
        return sum(each.badness for each in self.errors)

    @property
    def text(self) -> str:
        """As in "2 missed, 1 background"."""
        counts = Counter(each.kind for each in self.errors)
        return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"path": self.path, "badness": self.badness, "errors": [each.to_dict() for each in self.errors]}


def mistakes(records: Sequence[DetectionRecord], paths: Sequence[str], task: TaskManifest) -> list[DetectionMistake]:
    """Of n records with truth, and their images' paths."""
    found = []
    for record, path in zip(records, paths, strict=True):
        errors = _errors(record, task)
        if errors:
            found.append(DetectionMistake(path, tuple(sorted(errors, key=lambda each: -each.badness))))
    return sorted(found, key=lambda each: -each.badness)


def _errors(record: DetectionRecord, task: TaskManifest) -> list[DetectionError]:
    there, found, errors = record.there, record.found, errors_of(record, record.said)
    assert there is not None, "it has truth"
    missed = [
        DetectionError("missed", task.labels[there.classes[place]], _box(there.boxes[place].tolist()))
        for place in errors.missed.nonzero()[0].tolist()
    ]
    wrong = []
    for place in (errors.kinds != NONE).nonzero()[0].tolist():
        kind, object_place = int(errors.kinds[place]), int(errors.meant[place])
        meant = object_place >= 0
        named = meant and kind in (CLASS, BOTH)
        wrong.append(
            DetectionError(
                KINDS[kind],
                task.labels[found.classes[place]],
                _box(found.boxes[place].tolist()),
                float(found.scores[place]),
                task.labels[there.classes[object_place]] if named else None,
                _box(there.boxes[object_place].tolist()) if meant else None,
            )
        )
    return missed + wrong


def _box(numbers: list[float]) -> Box:
    left, top, right, bottom = numbers
    return left, top, right, bottom
