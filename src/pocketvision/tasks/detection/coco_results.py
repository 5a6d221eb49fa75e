"""Objects in the form that COCO's evaluators read: a list of {image_id, category_id, bbox, score}."""

from collections.abc import Mapping, Sequence
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.tasks.detection.answer import Detections


def coco_results(answer: Detections, image_id: int, category_ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """Of one image. category_ids: by class; UsageError for a class without one. bbox: left, top, width, height in pixels, rounded
    to hundredths, as COCO's own are."""
    missing = sorted(set(answer.names) - set(category_ids))
    if missing:
        raise UsageError(
            f"No category id is known for the class {missing[0]!r}; those known: {', '.join(category_ids)}."
        )
    found = []
    for name, score, (left, top, right, bottom) in zip(
        answer.names, answer.scores.tolist(), answer.boxes.tolist(), strict=True
    ):
        bbox = [round(each, 2) for each in (left, top, right - left, bottom - top)]
        found.append({"image_id": image_id, "category_id": category_ids[name], "bbox": bbox, "score": score})
    return found


def category_ids(labels: Sequence[str]) -> dict[str, int]:
    """From 1 on in the labels' order, where no file says others."""
    return {name: place + 1 for place, name in enumerate(labels)}
