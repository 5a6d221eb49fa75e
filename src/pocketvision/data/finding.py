"""A finding: one thing that an audit has to say, and how much its kind matters."""

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""An error would spoil the model or its figures; a warning may cost accuracy; a note is worth knowing."""

# The kinds, the worst first. A new one is a row here, and is found by a finder (findings.py) or noted while a source is read.
KINDS: dict[str, Severity] = {
    "leak": "error",
    "near_leak": "error",
    "group_leak": "error",
    "conflicting_labels": "error",
    "empty_class": "error",
    "too_few_images": "error",
    "class_not_in_train": "error",
    "truncated": "error",
    "unreadable": "error",
    "similar_classes": "warning",
    "near_conflicting_labels": "warning",
    "duplicates": "warning",
    "near_duplicates": "warning",
    "wrong_suffix": "warning",
    "imbalance": "warning",
    "class_not_in_split": "warning",
    "tiny": "warning",
    "mixed_ranges": "warning",
    "odd_sized": "note",
    "blank": "note",
    "part_of_range": "note",
    "several_pictures": "note",
    "damaged_metadata": "note",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know. files: as the samples name them, none when it is about classes. message: what, and what to do."""

    kind: str
    message: str
    files: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """How much findings of this kind matter."""
        return KINDS[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": self.kind, "severity": self.severity, "message": self.message, "files": list(self.files)}
