"""Images with objects and detections, drawn by a seed, and what COCO's own code says of them."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.record import DetectionRecord, record
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.manifest import TaskManifest

NAMES = ("ant", "bee", "cow")
TASK = TaskManifest("detection", NAMES, {"boxes": "boxes", "scores": "scores"})
FIGURES = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar_1",
    "ar_10",
    "ar_100",
    "ar_small",
    "ar_medium",
    "ar_large",
)
"""In the order of COCO's table."""


@dataclass(frozen=True)
class Case:
    """truth: of n images, in NAMES. found: an answer to each."""

    truth: BoxLabels
    found: list[Detections]

    @property
    def records(self) -> list[DetectionRecord]:
        return [record({}, each, self.truth.select(np.array([place])), TASK) for place, each in enumerate(self.found)]


def drawn(
    seed: int,
    images: int = 12,
    *,
    objects: int = 6,
    extra: int = 8,
    crowds: float = 0.1,
    ties: bool = False,
    own_areas: bool = False,
) -> Case:
    """Objects of all sizes; detections near them, some under another name, some twice, and `extra` anywhere."""
    generator = np.random.default_rng(seed)
    rows, found = [], list[Detections]()
    for _ in range(images):
        count = int(generator.integers(0, objects + 1))
        boxes = _boxes(generator, count)
        classes = generator.integers(0, len(NAMES), count)
        row: dict[str, NDArray[Any]] = {
            "boxes": boxes,
            "classes": classes,
            "crowd": generator.random(count) < crowds,
            "difficult": np.zeros(count, np.bool_),
        }
        if own_areas:
            share = generator.uniform(0.3, 1, count)
            row["areas"] = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * share).astype(np.float32)
        rows.append(row)
        near = np.repeat(np.arange(count), generator.integers(0, 3, count))
        moved = boxes[near] + np.round(generator.normal(0, 4, (len(near), 4)))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        named = np.where(
            generator.random(len(near)) < 0.85, classes[near], generator.integers(0, len(NAMES), len(near))
        )
        found.append(_answer(generator, np.concatenate([moved, _boxes(generator, extra)]), named, extra, ties))
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    offsets = np.cumsum([0, *(len(row["classes"]) for row in rows)])
    return Case(BoxLabels.flat(offsets, columns, NAMES), found)


def _boxes(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    corner = generator.integers(0, 300, (count, 2))
    side = np.exp(generator.uniform(2, 5.2, (count, 2))).round()
    return np.concatenate([corner, corner + side], axis=1).astype(np.float64)


def _answer(
    generator: np.random.Generator, boxes: NDArray[np.float64], named: NDArray[np.int64], extra: int, ties: bool
) -> Detections:
    classes = np.concatenate([named, generator.integers(0, len(NAMES), extra)])
    scores = generator.random(len(boxes)) * np.where(np.arange(len(boxes)) < len(named), 1, 0.5)
    scores = np.round(scores, 1) if ties else scores
    order = np.argsort(-scores, kind="stable")
    return Detections(NAMES, boxes[order], scores[order], classes[order])


def cocos(
    case: Case, written: list[dict[str, Any]] | None = None
) -> tuple[dict[str, float | None], NDArray[np.float64]]:
    """COCO's figures by name, None where it says -1; and (classes, IoUs) its average precisions, NaN where it has none.

    written: results in COCO's form, else those of the case."""
    annotations, results = [], []
    for image in range(len(case.truth)):
        row = case.truth.rows.row(image)
        sides = row["boxes"][:, 2:] - row["boxes"][:, :2]
        areas = row.get("areas", sides.prod(axis=1))
        for place in range(len(sides)):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image + 1,
                    "category_id": int(row["classes"][place]) + 1,
                    "bbox": [*row["boxes"][place, :2].tolist(), *sides[place].tolist()],
                    "area": float(areas[place]),
                    "iscrowd": int(row["crowd"][place]),
                }
            )
        found = case.found[image]
        for (left, top, right, bottom), score, place in zip(
            found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True
        ):
            bbox = [left, top, right - left, bottom - top]
            results.append({"image_id": image + 1, "category_id": place + 1, "bbox": bbox, "score": score})
    results = results if written is None else written
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image + 1} for image in range(len(case.truth))],
            "annotations": annotations,
            "categories": [{"id": place + 1, "name": name} for place, name in enumerate(case.truth.class_names)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results) if results else COCO(), "bbox")
        if not results:
            evaluation.cocoDt.dataset = {**truth.dataset, "annotations": []}
            evaluation.cocoDt.createIndex()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precisions = evaluation.eval["precision"][:, :, :, 0, 2].mean(axis=1).T
    stats = {name: None if value == -1 else float(value) for name, value in zip(FIGURES, evaluation.stats, strict=True)}
    return stats, np.where(precisions == -1, np.nan, precisions)
