"""Learning masks: a loss of pixels and one of regions, at the stride of the logits; measured in the images' own pixels."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketvision.data.balance import class_weights
from pocketvision.errors import UsageError, unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.printable import quoted
from pocketvision.tasks.manifest import THRESHOLDS, TaskManifest
from pocketvision.tasks.segmentation.choosing import best_overlap
from pocketvision.tasks.segmentation.decode import mask_of
from pocketvision.tasks.segmentation.logits import Logits
from pocketvision.tasks.segmentation.metrics import iou, mean, sums_of
from pocketvision.tasks.segmentation.record import LEVELS, confusion, levels_of
from pocketvision.tasks.segmentation.truth import SEGMENTATION, Mask, MaskLabels, moved, resized
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.segmentation.losses import LOSSES, Part, parts_of
from pocketvision.training.settings import Phase, StepSize
from pocketvision.training.soft_classes import divergence

MOST_WEIGHT = 10.0
"""Of a balanced class: one of a thousandth of the pixels would weigh hundreds."""

KEPT = 256 << 20
"""Bytes of masks in the logits' size that are kept from epoch to epoch."""

FEW, OTHER_STEPS, OTHER_RATE = 100, 75, 4e-3
"""Up to so many pictures another model is tried, for so many steps, at that rate.

In throwaway loops 80 steps of 4 of u_net_small came to an IoU of 0.647 on the membranes of benchmarks/segmentation.py, heads on a
frozen EfficientNet-Lite0 to 0.62 at most.
"""

SMALLEST, USUAL, LARGEST = 224, 416, 512
"""Sides of an input that is chosen from the images: at least, for large pictures, and for those that are no larger anyway."""


class KeptMasks:
    """Masks by image, placement and size, up to KEPT bytes; the longest unused go first."""

    def __init__(self) -> None:
        self._masks: OrderedDict[tuple[Any, ...], Mask] = OrderedDict()
        self._bytes = 0

    def mask(self, truth: MaskLabels, row: int, placement: Placement, shape: tuple[int, int]) -> Mask:
        """(h, w) of image `row` in cells of its input: what is at the middle of each."""
        key = (id(truth), row, placement.matrix.tobytes(), placement.input_size, shape)
        found = self._masks.get(key)
        if found is not None:
            self._masks.move_to_end(key)
            return found
        scale = np.diag([shape[1] / placement.input_size[0], shape[0] / placement.input_size[1], 1.0])
        found = moved(truth.mask(row), placement.then(scale, (shape[1], shape[0])))
        self._masks[key] = found
        self._bytes += found.nbytes
        while self._bytes > KEPT:
            self._bytes -= self._masks.popitem(last=False)[1].nbytes
        return found


@dataclass(frozen=True, eq=False)
class Targets:
    """Of a batch: the whole truth, which images of it these are, (N), and where they lie in their inputs."""

    truth: MaskLabels
    rows: NDArray[np.int64]
    placements: Sequence[Placement]


@dataclass(frozen=True, eq=False)
class Record:
    """Of a batch, in its images' own pixels: their confusion matrices together, (classes, classes + 1), or of two classes
    `levels`, (2, LEVELS), by the second one's probability (tasks/segmentation/record.py)."""

    confusion: NDArray[np.int64] | None = None
    levels: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class MaskLearner:
    """Reads `logits` (N, classes, h, w). parts: of the loss, by name. weights: (classes) of the loss; None for none."""

    class_names: tuple[str, ...]
    parts: Mapping[str, Part]
    weights: Tensor | None = None
    kept: KeptMasks = field(default_factory=KeptMasks)

    def targets(self, truth: MaskLabels, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Targets:
        return Targets(truth, rows, placements)

    def loss(self, outputs: Outputs, targets: Targets) -> dict[str, Tensor]:
        """The parts by name."""
        logits = outputs["logits"].float()
        masks = self.masks(logits, targets)
        return {name: part(logits, masks, self.weights) for name, part in self.parts.items()}

    def right(self, outputs: Outputs, targets: Targets) -> tuple[int, int]:
        """Cells of the output."""
        masks = self.masks(outputs["logits"], targets)
        known = masks < len(self.class_names)
        return int(((outputs["logits"].argmax(dim=1) == masks) & known).sum()), int(known.sum())

    def mixed(self, targets: Targets, mix: Mix | Mosaic) -> Targets:
        """Raises UsageError: a blend of two masks is none."""
        del targets, mix
        raise UsageError(
            "MixUp, CutMix and mosaics change pictures after their masks were brought to the input. Set regularisation.mixup, "
            "cutmix and mosaic to 0."
        )

    def record(self, outputs: Outputs, targets: Targets) -> Record:
        """Each image in its own pixels."""
        classes, none = len(self.class_names), np.zeros(len(self.class_names), np.float32)
        counts = np.zeros((classes, LEVELS if classes == 2 else classes + 1), np.int64)
        logits = outputs["logits"].float().numpy()
        for own, row, placement in zip(logits, targets.rows.tolist(), targets.placements, strict=True):
            said, there = Logits(own, placement), resized(targets.truth.mask(row), placement.image_size)
            counts += levels_of(said, there) if classes == 2 else confusion(there, mask_of(said, none), classes)
        return Record(levels=counts) if classes == 2 else Record(confusion=counts)

    def validated(self, records: Sequence[Record]) -> Validated:
        """What the mean IoU lacks of 1, and the mean IoU; of two classes at the threshold that would ship now."""
        levels, counts = _sum(each.levels for each in records), _sum(each.confusion for each in records)
        if levels is not None:
            figure = best_overlap(levels)[1]
        elif counts is not None:
            figure = float(np.nan_to_num(mean(iou(*sums_of(counts)))))
        else:
            raise ValueError("no record")
        return Validated(1 - figure, figure, "mIoU")

    def calibrate(self, records: Sequence[Record]) -> dict[str, Any]:
        """`thresholds` of two classes: of the highest mean IoU. Of more the most probable class is answered."""
        levels = _sum(each.levels for each in records)
        if levels is None or not levels.any():
            return {}
        threshold, (first, second) = best_overlap(levels)[0], self.class_names
        return {THRESHOLDS: {first: 1 - threshold, second: threshold}}

    def score_of(self, outputs: Outputs, choice: int) -> Tensor:
        """The class's logit, on average over the image."""
        return outputs["logits"][:, choice].mean(dim=(1, 2))

    def masks(self, logits: Tensor, targets: Targets) -> Tensor:
        """(N, h, w) int64: what is to be said by logits (N, classes, h, w)."""
        shape = (logits.shape[2], logits.shape[3])
        masks = [
            self.kept.mask(targets.truth, row, placement, shape)
            for row, placement in zip(targets.rows.tolist(), targets.placements, strict=True)
        ]
        return torch.from_numpy(np.stack(masks).astype(np.int64))


def _sum(counts: Iterable[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    """None where there are none."""
    found = [each for each in counts if each is not None]
    return np.sum(found, axis=0) if found else None


def _make(options: LearnerOptions, truth: MaskLabels) -> MaskLearner:
    name = options.loss or next(iter(LOSSES))
    if name not in LOSSES:
        raise unknown_name("loss for masks", name, LOSSES)
    parts, weights = parts_of(name, options.regions, options.border), None
    if options.class_weights != "none":
        found = class_weights(truth.pixel_counts(), truth.class_names, options.class_weights)
        if options.class_weights == "balanced":
            found = np.clip(found, 1 / MOST_WEIGHT, MOST_WEIGHT)
        weights = torch.from_numpy(found.astype(np.float32))
    return MaskLearner(truth.class_names, parts, weights)


def _input_size(truth: MaskLabels, sizes: NDArray[np.integer]) -> tuple[int, str]:
    """A square with about as many pixels as the images have, within bounds."""
    del truth
    known = sizes[(sizes > 0).all(axis=1)].astype(np.float64)
    side = float(np.median(np.sqrt(known.prod(axis=1)))) if len(known) else USUAL
    size = int(min(max(round(side / 32) * 32, SMALLEST), LARGEST if side <= LARGEST else USUAL))
    return (
        size,
        f"Input size {size}, chosen from the images' {side:.0f} x {side:.0f} pixels or so (--size says otherwise).",
    )


def _constant(
    truth: MaskLabels, sizes: NDArray[np.integer], measured: MaskLabels, measured_sizes: NDArray[np.integer]
) -> str:
    del sizes, measured_sizes
    place, there = int(truth.pixel_counts().argmax()), measured.pixel_counts()
    classes = max(int((there > 0).sum()) + int(there[place] == 0), 1)
    share = float(there[place] / max(int(there.sum()), 1))
    return (
        f"An answer that never looks, {quoted(truth.class_names[place])} everywhere, has a mean IoU of {share / classes:.3f} "
        "on the same pictures."
    )


def _apart(outputs: Outputs, taught: Outputs, temperature: float) -> Tensor:
    """Of cells of the learner's map."""
    logits, other = outputs["logits"], taught["logits"]
    if other.shape[2:] != logits.shape[2:]:
        other = F.interpolate(other, size=logits.shape[2:], mode="bilinear", align_corners=False)
    return divergence(logits, other, temperature)


def _taught(said: Outputs, task: TaskManifest, places: Tensor, learner: MaskLearner) -> dict[str, Tensor]:
    del task, learner
    return {"logits": said["logits"][:, places]}


def _other(pictures: int) -> Phase | None:
    """A U-Net from a random start, for few pictures: where they are unlike photographs, it wins once it has the time."""
    if pictures > FEW:
        return None
    return Phase(model="u_net_small", steps=OTHER_STEPS, lr=OTHER_RATE)


# Stretched: nothing is cut away, and no pixel of the input is wasted on a border.
ROW = LearnerRow(
    SEGMENTATION,
    "u_net",
    _make,
    "stretch",
    input_size=_input_size,
    constant=_constant,
    apart=_apart,
    taught=_taught,
    step_size=StepSize(8, 2e-3, longer=2.5),  # maps of stride 4 are large: 32 of 512 pixels took 4 GB
    augmentation="light",  # membranes, u_net_small alone: validation mIoU 0.745 after 13 epochs, 0.694 with "standard"
    other=_other,
)
