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
    "missing_images": "error",
    "unknown_category": "error",
    "unreadable_box": "error",
    "box_outside": "error",
    "unreadable_mask": "error",
    "mask_of_other_shape": "error",
    "values_of_no_class": "error",
    "nothing_but_background": "error",
    "truncated": "error",
    "unreadable": "error",
    "similar_classes": "warning",
    "near_conflicting_labels": "warning",
    "conflicting_boxes": "warning",
    "near_repeated_boxes": "warning",
    "repeated_boxes": "warning",
    "no_area": "warning",
    "size_differs": "warning",
    "beyond_border": "warning",
    "reversed_corners": "warning",
    "turned_images": "warning",
    "unsure_turn": "warning",
    "shares_as_pixels": "warning",
    "pixels_as_shares": "warning",
    "repeated_category": "warning",
    "box_of_no_image": "warning",
    "repeated_images": "warning",
    "other_shapes": "warning",
    "small_objects": "warning",
    "one_class_in_nearly_all": "warning",
    "rare_classes": "warning",
    "images_without_masks": "warning",
    "masks_without_images": "warning",
    "several_masks": "warning",
    "mask_size_differs": "warning",
    "turned_masks": "warning",
    "blended_values": "warning",
    "no_outline": "warning",
    "empty_masks": "warning",
    "unequal_pixels": "warning",
    "neighbours_across_splits": "warning",
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
    "unlisted_images": "note",
    "crowds": "note",
    "stretched_values": "note",
    "background_alone": "note",
    "unmarked_pixels": "note",
    "neighbouring_images": "note",
    "category_gaps": "note",
    "unused_classes": "note",
    "other_opinions": "note",
    "confident_boxes": "note",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know. files: as the samples name them, some of them where there are many, none when it is about classes.
    message: what, and what to do. count: how often it is there."""

    kind: str
    message: str
    files: tuple[str, ...] = ()
    count: int = 1

    @property
    def severity(self) -> Severity:
        """How much findings of this kind matter."""
        return KINDS[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "files": list(self.files),
            "count": self.count,
        }
