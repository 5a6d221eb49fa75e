"""Learning objects: scores that say how well a box fits, boxes by their overlap, and thresholds of the best F1."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketvision.data.balance import class_weights
from pocketvision.data.boxes.input_size import SMALL, choose_size
from pocketvision.errors import UsageError, unknown_name
from pocketvision.models.heads.detection import grid
from pocketvision.models.heads.detection.grid import SINGLE
from pocketvision.preprocessing import Placement
from pocketvision.tasks.comparing import MEASURED
from pocketvision.tasks.detection.baseline import constant_boxes, figures, records_of
from pocketvision.tasks.detection.choosing import best_thresholds
from pocketvision.tasks.detection.decode import BOXES, NMS, SCORES, decode
from pocketvision.tasks.detection.precision import average_precisions, mean
from pocketvision.tasks.detection.record import DetectionRecord, joined, record
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.tasks.detection.truth import joined as joined_parts
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.ragged import Ragged
from pocketvision.training.detection.assignment import MOST_CELLS, Assignment, assign
from pocketvision.training.detection.losses import BOX_LOSSES, giou_losses, pairwise_ious, score_losses
from pocketvision.training.detection.papers import Paper, paper_of
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.settings import StepSize

BOX_WEIGHT = 5.0
"""What a box's loss counts beside a score's."""

LOOKED_AT = 100
"""Answers of an image, the highest scores, among which an object is looked for while it learns."""


@dataclass(frozen=True, eq=False)
class Placed:
    """What is to be found in one input. boxes: (m, 4) float32 in its pixels. classes: (m) int64. crowd: (m) bool."""

    boxes: Tensor
    classes: Tensor
    crowd: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """Of a batch: what lies in each input, as tensors and as truth, and, to be measured by, the whole truth, which images of it
    these are, (N), and their placements."""

    placed: Sequence[Placed]
    inputs: Sequence[BoxLabels]
    truth: BoxLabels
    rows: NDArray[np.int64]
    placements: Sequence[Placement]


@dataclass(frozen=True, eq=False)
class Record:
    """Of a batch: what each of its images adds to the figures, and which boxes suppress each other (NMS)."""

    images: Sequence[DetectionRecord]
    nms: str = NMS[0]


@dataclass(frozen=True, eq=False)
class DetectionLearner:
    """Reads what models/heads/detection/grid.py puts out: `logits`, `boxes` and `cells`; heads with a paper's own loss learn by
    that (papers.py). box_loss: of BOX_LOSSES. weights: (classes), of the objects of each; None for 1. weighted: whether somebody
    asked for them; papers have neither weights nor other losses."""

    class_names: tuple[str, ...]
    box_loss: str = "giou"
    weights: Tensor | None = None
    weighted: bool = False

    def targets(self, truth: BoxLabels, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Targets:
        inputs = [truth.through(int(row), place) for row, place in zip(rows, placements, strict=True)]
        return Targets([_placed(each) for each in inputs], inputs, truth, rows, placements)

    def loss(self, outputs: Outputs, targets: Targets) -> dict[str, Tensor]:
        """`score` and `box` of each branch, over the sum of the cells' shares in their objects; or a paper's parts."""
        paper = self._paper(outputs)
        if paper is not None:
            return paper.loss(outputs, targets.inputs)
        parts: dict[str, Tensor] = {}
        for branch, most in _branches(outputs).items():
            score, box, total = self._sums(outputs, targets, branch, most)
            shares = total.sum().clamp(min=1)
            parts |= {f"{branch}score": score.sum() / shares, f"{branch}box": BOX_WEIGHT * box.sum() / shares}
        return parts

    def right(self, outputs: Outputs, targets: Targets) -> tuple[int, int]:
        """Objects that one of the LOOKED_AT highest answers of their image fits, in class and at an IoU of 0.5."""
        found, there = 0, 0
        said = _shipped(outputs)
        for boxes, scores, placed in zip(said[BOXES].detach(), said[SCORES].detach(), targets.placed, strict=True):
            counted = ~placed.crowd
            there += int(counted.sum())
            best = scores.flatten().topk(min(LOOKED_AT, scores.numel())).indices
            cells, classes = best // scores.shape[1], best % scores.shape[1]
            fits = pairwise_ious(placed.boxes[counted], boxes[cells]) >= 0.5
            found += int((fits & (placed.classes[counted][:, None] == classes)).any(dim=1).sum())
        return found, there

    def mixed(self, targets: Targets, mix: Mix | Mosaic) -> Targets:
        """Of mosaics. Raises UsageError for others: half an object is none."""
        if isinstance(mix, Mosaic):
            rows = zip(*mix.orders.tolist(), strict=True)
            inputs = [in_mosaic([targets.inputs[row] for row in each], mix) for each in rows]
            return replace(targets, placed=[_placed(each) for each in inputs], inputs=inputs)
        raise UsageError(
            "MixUp and CutMix blend pictures, and an object that is half there has no box. Set regularisation.mixup and "
            "regularisation.cutmix to 0."
        )

    def record(self, outputs: Outputs, targets: Targets) -> Record:
        nms = _nms(outputs)
        task = TaskManifest(DETECTION, self.class_names, {BOXES: BOXES, SCORES: SCORES}, "", {"nms": nms})
        shipped = {role: each.numpy() for role, each in _shipped(outputs).items()}
        answers = decode(shipped, targets.placements, task, MEASURED)
        rows = targets.rows.reshape(-1, 1)
        images = [record({}, each, targets.truth.select(row), task) for each, row in zip(answers, rows, strict=True)]
        return Record(images, nms)

    def validated(self, records: Sequence[Record]) -> Validated:
        """What AP lacks of 1, and AP50.

        Not the loss: it asks of a cell what follows from what the network says there, so that those of two epochs are no
        measure. Of twelve epochs on blood cells it was lowest in the fifth (AP50 0.75; in the last 0.81).
        """
        images = [image for each in records for image in each.images]
        found = average_precisions(joined(images), len(self.class_names))
        return Validated(1 - (mean(found) or 0.0), mean(found[:, 0]) or 0.0, "AP50")

    def calibrate(self, records: Sequence[Record]) -> dict[str, Any]:
        """`thresholds`: of the best F1 of each class; and `nms`, where it is not the default."""
        images = [image for each in records for image in each.images]
        found: dict[str, Any] = {"thresholds": best_thresholds(images, self.class_names)}
        return found if records[0].nms == NMS[0] else {**found, "nms": records[0].nms}

    def score_of(self, outputs: Outputs, choice: int) -> Tensor:
        """The class's highest logit of the branch that ships, or of a paper's head its highest score."""
        if paper_of(outputs) is None:
            return outputs[f"{[*_branches(outputs)][-1]}logits"][:, :, choice].amax(dim=1)
        return _shipped(outputs)[SCORES][:, :, choice].amax(dim=1)

    def _paper(self, outputs: Outputs) -> Paper | None:
        """Raises UsageError for options that a paper's loss has not."""
        paper = paper_of(outputs)
        if paper is not None and (self.weighted or self.box_loss != next(iter(BOX_LOSSES))):
            raise UsageError(
                "This head learns by the loss of its paper, without class weights and other losses. Leave out "
                "--class-weights and loss.name, or take the head grid."
            )
        return paper

    def _sums(self, outputs: Outputs, targets: Targets, branch: str, most: int) -> tuple[Tensor, Tensor, Tensor]:
        """(N) each: the losses of an image's scores and of its boxes, and the qualities that are asked for. most: cells of an
        object."""
        logits, cells = outputs[f"{branch}logits"].float(), outputs["cells"][0].float()
        boxes, scores = outputs[f"{branch}boxes"].float(), torch.sigmoid(logits.detach())
        sums = [
            self._of_image(
                each, assign(box.detach(), score, cells, placed.boxes, placed.classes, placed.crowd, most), box, placed
            )
            for each, score, box, placed in zip(logits, scores, boxes, targets.placed, strict=True)
        ]
        score, box, total = (torch.stack(each) for each in zip(*sums, strict=True))
        return score, box, total

    def _of_image(
        self, logits: Tensor, assigned: Assignment, boxes: Tensor, placed: Placed
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = torch.nonzero(assigned.objects >= 0)[:, 0]
        objects = assigned.objects[own]
        classes, quality = placed.classes[objects], assigned.quality[own]
        asked = torch.zeros_like(logits)
        asked[own, classes] = quality
        losses = score_losses(logits, asked) * ~assigned.ignored[:, None]
        weights = torch.ones_like(quality)
        if self.weights is not None:
            weights = self.weights[classes]
            each = torch.ones_like(logits)
            each[own, classes] = weights
            losses = losses * each
        apart = BOX_LOSSES[self.box_loss](boxes[own], placed.boxes[objects])
        share = assigned.share[own]
        return losses.sum(), (apart * share * weights).sum(), (share * weights).sum()


def _shipped(outputs: Outputs) -> dict[str, Tensor]:
    """As in the graph that ships: boxes (N, A, 4) and scores (N, A, classes)."""
    paper = paper_of(outputs)
    if paper is not None:
        return paper.shipped(outputs)
    return grid.shipped(outputs)


def _branches(outputs: Outputs) -> dict[str, int]:
    """What stands before the roles of each branch of the grid's head, and how many cells an object has there; the one that ships
    is the last."""
    return {"": MOST_CELLS, SINGLE: 1} if f"{SINGLE}logits" in outputs else {"": MOST_CELLS}


def _nms(outputs: Outputs) -> str:
    """One of NMS: none where the head learns to say each object once."""
    paper = paper_of(outputs)
    once = len(_branches(outputs)) > 1 if paper is None else paper.once
    return "none" if once else NMS[0]


def in_mosaic(parts: Sequence[BoxLabels], how: Mosaic) -> BoxLabels:
    """The objects of four inputs, one image each, where the mosaic shows them. An object keeps its place in its quarter."""
    width, height = how.size
    moved = []
    for part, (left, top, right, bottom) in zip(parts, how.quarters, strict=True):
        scale = np.array([(right - left) / width, (bottom - top) / height] * 2)
        boxes = part.rows.columns["boxes"] * scale + np.array([left, top] * 2)
        columns = {name: values for name, values in part.rows.columns.items() if name != "areas"}
        moved.append(replace(part, rows=Ragged(part.rows.offsets, {**columns, "boxes": boxes})))
    return joined_parts(moved)


def _placed(truth: BoxLabels) -> Placed:
    """Of one image."""
    row = truth.rows.row(0)
    return Placed(
        torch.from_numpy(row["boxes"].astype(np.float32)),
        torch.from_numpy(row["classes"].astype(np.int64)),
        torch.from_numpy(np.array(row["crowd"], np.bool_)),
    )


def _make(options: LearnerOptions, truth: BoxLabels) -> DetectionLearner:
    name = options.loss or next(iter(BOX_LOSSES))
    if name not in BOX_LOSSES:
        raise unknown_name("loss for boxes", name, BOX_LOSSES)
    counts, weighted = truth.box_counts(), options.class_weights != "none"
    weights = class_weights(counts, truth.class_names, options.class_weights) if weighted else _by_rarity(counts)
    return DetectionLearner(truth.class_names, name, torch.from_numpy(weights), weighted)


def _by_rarity(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """(classes) falling with the root of the classes' counts, (classes), 1 in the mean over the objects.

    Of blood cells, five sixths of one class, the small and rare ones came to an AP50 of 0.51 in the epoch in which they had 0.00
    without weights; the others lost 0.01 or 0.02.
    """
    weights = 1 / np.sqrt(np.maximum(counts, 1))
    objects: NDArray[np.float32] = (weights * counts.sum() / max((weights * counts).sum(), 1e-9)).astype(np.float32)
    return objects


def _input_size(truth: BoxLabels, sizes: NDArray[np.integer]) -> tuple[int, str]:
    choice = choose_size(truth, sizes)
    small = choice.shares[choice.size]
    return choice.size, (
        f"Input size {choice.size}, chosen from the boxes: {small:.1%} of the objects are under {SMALL:g} pixels in it "
        "(--size says otherwise)."
    )


def _constant(
    truth: BoxLabels, sizes: NDArray[np.integer], measured: BoxLabels, measured_sizes: NDArray[np.integer]
) -> str:
    records = records_of(constant_boxes(truth, sizes), measured, measured_sizes)
    found = figures(records, len(truth.class_names))
    return (
        "An answer that never looks, of each class one box of its most frequent size at its mean place, has an AP50 of "
        f"{found.ap50 or 0:.3f} and an AP of {found.ap or 0:.3f} on the same pictures."
    )


def _apart(outputs: Outputs, taught: Outputs, temperature: float) -> Tensor:
    """Cross-entropy of the scores, times the square of the larger one, for many say nothing; and GIoU of
    the boxes, each as much as the other network is sure of it."""
    del temperature  # scores are no shares of one another
    own, other = _shipped(outputs), taught if SCORES in taught else _shipped(taught)
    if own[BOXES].shape != other[BOXES].shape:
        raise UsageError(
            f"The teacher says {other[BOXES].shape[1]:,} boxes of a picture and this network {own[BOXES].shape[1]:,}: one "
            "teaches the other only cell by cell. Take a teacher with the same head and size (--head, --size)."
        )
    scores, asked = own[SCORES].clamp(1e-6, 1 - 1e-6), other[SCORES]
    focus = torch.maximum(asked, scores.detach()) ** 2
    sure = asked.amax(dim=2).flatten()
    boxes = giou_losses(own[BOXES].flatten(0, 1), other[BOXES].flatten(0, 1))
    score = (focus * F.binary_cross_entropy(scores, asked, reduction="none")).sum()
    return (score + BOX_WEIGHT * (sure * boxes).sum()) / sure.sum().clamp(min=1)


def _taught(said: Outputs, task: TaskManifest, places: Tensor, learner: DetectionLearner) -> dict[str, Tensor]:
    del task, learner
    return {BOXES: said[BOXES], SCORES: said[SCORES][:, :, places]}


# Padded, so that nothing is cut away and shapes stay.
ROW = LearnerRow(
    DETECTION,
    "grid",
    _make,
    "pad",
    turns=False,
    input_size=_input_size,
    constant=_constant,
    step_size=StepSize(16, 2e-3),
    apart=_apart,
    taught=_taught,
    mean=False,  # the same cell may stand for another object
)
