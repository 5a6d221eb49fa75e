"""Learning masks: a loss of pixels and one of regions, at the stride of the logits; measured in the images' own pixels."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.balance import class_weights
from pocketvision.errors import UsageError, unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.printable import quoted
from pocketvision.tasks.segmentation.decode import mask_of
from pocketvision.tasks.segmentation.logits import Logits
from pocketvision.tasks.segmentation.metrics import iou, mean, sums_of
from pocketvision.tasks.segmentation.record import confusion
from pocketvision.tasks.segmentation.truth import SEGMENTATION, Mask, MaskLabels, moved, resized
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.segmentation.losses import LOSSES
from pocketvision.training.settings import StepSize
from pocketvision.training.soft_classes import divergence

MOST_WEIGHT = 10.0
"""Of a balanced class: one of a thousandth of the pixels would weigh hundreds."""

KEPT = 256 << 20
"""Bytes of masks in the logits' size that are kept from epoch to epoch."""

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
    """Of a batch: the sum of its images' losses, how many they are, and their confusion matrices together."""

    loss: float
    images: int
    confusion: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MaskLearner:
    """Reads `logits` (N, classes, h, w). loss_name: of LOSSES. weights: (classes) of the loss; None for none."""

    class_names: tuple[str, ...]
    loss_name: str
    weights: Tensor | None = None
    kept: KeptMasks = field(default_factory=KeptMasks)

    def targets(self, truth: MaskLabels, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Targets:
        return Targets(truth, rows, placements)

    def loss(self, outputs: Outputs, targets: Targets) -> dict[str, Tensor]:
        """The parts of LOSSES."""
        logits = outputs["logits"].float()
        masks = self.masks(logits, targets)
        return {name: part(logits, masks, self.weights) for name, part in LOSSES[self.loss_name].items()}

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
        """Each image by itself: the overlap of a batch is not the mean of its images'."""
        classes, logits = len(self.class_names), outputs["logits"].float()
        counts, none = np.zeros((classes, classes + 1), np.int64), np.zeros(classes, np.float32)
        masks, loss = self.masks(logits, targets), 0.0
        for place, (row, placement) in enumerate(zip(targets.rows.tolist(), targets.placements, strict=True)):
            own, mask = logits[[place]], masks[[place]]
            loss += sum(float(part(own, mask, self.weights)) for part in LOSSES[self.loss_name].values())
            said = mask_of(Logits(own[0].numpy(), placement), none)
            there = resized(targets.truth.mask(row), placement.image_size)
            counts += confusion(there, said, classes)
        return Record(loss, len(logits), counts)

    def validated(self, records: Sequence[Record]) -> Validated:
        """The mean loss of an image, and the mean IoU."""
        figure = float(mean(iou(*sums_of(np.sum([each.confusion for each in records], axis=0)))))
        images = sum(each.images for each in records)
        return Validated(sum(each.loss for each in records) / images, figure if np.isfinite(figure) else 0.0, "mIoU")

    def calibrate(self, records: Sequence[Record]) -> dict[str, Any]:
        """Nothing: the most probable class is answered until a threshold is asked for."""
        del records
        return {}

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


def _make(options: LearnerOptions, truth: MaskLabels) -> MaskLearner:
    name = options.loss or next(iter(LOSSES))
    if name not in LOSSES:
        raise unknown_name("loss for masks", name, LOSSES)
    weights = None
    if options.class_weights != "none":
        found = class_weights(truth.pixel_counts(), truth.class_names, options.class_weights)
        if options.class_weights == "balanced":
            found = np.clip(found, 1 / MOST_WEIGHT, MOST_WEIGHT)
        weights = torch.from_numpy(found.astype(np.float32))
    return MaskLearner(truth.class_names, name, weights)


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


def _apart(outputs: Outputs, taught: Outputs) -> Tensor:
    return divergence(outputs["logits"], taught["logits"])


# Stretched: nothing is cut away, and no pixel of the input is wasted on a border.
ROW = LearnerRow(
    SEGMENTATION,
    "u_net",
    _make,
    "stretch",
    input_size=_input_size,
    constant=_constant,
    apart=_apart,
    step_size=StepSize(8, 1e-3),  # maps of stride 4 are large: 32 of 512 pixels took 4 GB
)
