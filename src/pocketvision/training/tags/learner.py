"""Learning tags: a binary cross-entropy each, or its asymmetric focal form, then honest probabilities and thresholds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketvision.data.balance import class_weights
from pocketvision.errors import unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.tags.calibration import best_thresholds, cross_entropy, fit_scales, sigmoid
from pocketvision.tasks.tags.metrics import average_precisions
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.thresholds import Wish
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.regression import Judged, Regression

Record = tuple[Tensor, Tensor]
"""Logits (N, tags) and targets (N, tags)."""

NEGATIVE_FOCUS, MARGIN = 4.0, 0.05
"""Of the asymmetric loss, as its authors use them."""

FIGURE = "mAP"

_STEEP = 8.0
"""Least squares says 0 or 1 where logits are some below or above 0: brings the scales near 1, where they are looked for."""

# A tag that few images have is not worth more than this.
_LARGEST_WEIGHT = 100.0


def binary(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Mean binary cross-entropy, in nats; weights (tags): of the yes."""
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)


def asymmetric(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Mean asymmetric focal loss: each no counts less the surer it is, and nothing within the margin.

    Ridnik et al. 2021, Asymmetric Loss For Multi-Label Classification, equations 5 to 7, with a focus of 0 for the yes.
    """
    shares = torch.sigmoid(logits.float())
    shifted = (shares - MARGIN).clamp(min=0)
    yes = targets * torch.log(shares.clamp(min=1e-8))
    no = (1 - targets) * shifted**NEGATIVE_FOCUS * torch.log((1 - shifted).clamp(min=1e-8))
    return -((yes if weights is None else yes * weights) + no).mean()


def focal(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Binary cross-entropy by how wrong each yes and no is (Lin et al. 2017, equation 4, with a focus of 2); weights: of the
    yes."""
    each = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
    return (each * (torch.sigmoid(logits) - targets).abs() ** 2).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "binary": binary,
    "asymmetric": asymmetric,
    "focal": focal,
}
"""By name; the first is the default."""


@dataclass(frozen=True, eq=False)
class TagLearner:
    """Targets are (N, tags) float32, 1 where an image has a tag. weights: (tags,) of the yes; None for none. label_smoothing: in
    [0, 1)."""

    class_names: tuple[str, ...]
    loss_name: str = "binary"
    weights: Tensor | None = None
    label_smoothing: float = 0.0

    def targets(self, truth: TagLabels, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Tensor:
        del placements  # a tag is the same wherever the image lies
        return torch.from_numpy(truth.marks[rows].astype(np.float32))

    def loss(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """One part, by the loss's name."""
        soft = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        return {self.loss_name: LOSSES[self.loss_name](outputs["logits"], soft, self.weights)}

    def right(self, outputs: Outputs, targets: Tensor) -> tuple[int, int]:
        """Of all yes and no."""
        return int(((outputs["logits"] > 0) == (targets > 0.5)).sum()), targets.numel()

    def mixed(self, targets: Tensor, mix: Mix | Mosaic) -> Tensor:
        """Each yes by its share; of a mosaic those of all four."""
        if isinstance(mix, Mosaic):
            return targets[mix.orders].amax(dim=0)
        return targets.lerp(targets[mix.order], 1 - mix.share)

    def record(self, outputs: Outputs, targets: Tensor) -> Record:
        return outputs["logits"], targets

    def validated(self, records: Sequence[Record]) -> Validated:
        """Cross-entropy in nats, as the shipped model answers, without weights or smoothing, and the mean average precision."""
        logits, marks = _joined(records)
        if not np.isfinite(logits).all():  # the next training step names the files
            return Validated(float("nan"), 0.0, FIGURE)
        judged = _judged(logits, marks)
        return Validated(judged.loss, judged.figure, FIGURE)

    def calibrate(self, records: Sequence[Record]) -> dict[str, list[float] | dict[str, float]]:
        """`scales`, `offsets` (by tag) and `thresholds`: of the best F1 of each."""
        logits, marks = _joined(records)
        scales, offsets = fit_scales(logits, marks)
        thresholds = best_thresholds(sigmoid(logits * scales + offsets), marks, Wish("f1"))
        named = dict(zip(self.class_names, thresholds.tolist(), strict=True))
        return {"scales": scales.tolist(), "offsets": offsets.tolist(), "thresholds": named}

    def regression(self, targets: Tensor, outputs: int) -> Regression:
        """On 0 or 1 of each tag, judged as `validated` does. All tags share a row's weight: the mean of its yes and no."""
        del outputs  # the targets say how many
        marks = targets.numpy() > 0.5
        weights = None
        if self.weights is not None:
            weights = np.where(marks, self.weights.numpy(), 1.0).mean(axis=1, dtype=np.float64)

        def judge(predicted: NDArray[np.float32], rows: NDArray[np.int64]) -> Judged:
            judged = _judged(_STEEP * (predicted - 0.5), marks[rows])
            scales = _STEEP * judged.scales
            return replace(judged, scales=scales, offsets=judged.offsets - 0.5 * scales)

        return Regression(marks.astype(np.float32), weights, judge)

    def score_of(self, outputs: Outputs, choice: int) -> Tensor:
        """The tag's logit."""
        return outputs["logits"][:, choice]


def _judged(logits: NDArray[np.floating], marks: NDArray[np.bool_]) -> Judged:
    """Of (N, tags): cross-entropy in nats after Platt's scaling, mean average precision, and that scaling."""
    scales, offsets = fit_scales(logits, marks)
    precisions = average_precisions(logits.astype(np.float64), marks, np.ones((1, len(marks)), np.int64))[0]
    figure = float(np.nanmean(precisions)) if marks.any() else 0.0
    loss = cross_entropy(logits * scales + offsets, marks)
    return Judged(loss, figure, scales.astype(np.float32), offsets.astype(np.float32))


def _joined(records: Sequence[Record]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    logits, targets = zip(*records, strict=True)
    return torch.cat(logits).double().numpy(), torch.cat(targets).numpy() > 0.5


def _make(options: LearnerOptions, truth: TagLabels) -> TagLearner:
    name = options.loss or next(iter(LOSSES))
    if name not in LOSSES:
        raise unknown_name("loss for tags", name, LOSSES)
    counts, weights = truth.class_counts(), None
    if options.class_weights == "balanced":
        present = int(truth.present.sum())
        ratio = (present - counts) / np.maximum(counts, 1)
        weights = torch.from_numpy(np.clip(ratio, 1 / _LARGEST_WEIGHT, _LARGEST_WEIGHT).astype(np.float32))
    elif options.class_weights != "none":
        weights = torch.from_numpy(class_weights(counts, truth.class_names, options.class_weights))
    return TagLearner(truth.class_names, name, weights, options.label_smoothing)


def _apart(outputs: Outputs, taught: Outputs, temperature: float) -> Tensor:
    """Mean binary cross-entropy at that temperature, in nats; times its square, which keeps the gradients' size."""
    soft = torch.sigmoid(taught["logits"] / temperature)
    return temperature**2 * F.binary_cross_entropy_with_logits(outputs["logits"] / temperature, soft)


def _taught(said: Outputs, task: TaskManifest, places: Tensor, learner: TagLearner) -> dict[str, Tensor]:
    """As honest as the teacher ships: with its scales and offsets."""
    del learner
    logits, numbers = said["logits"], task.postprocessing
    if "scales" in numbers:
        logits = logits * torch.tensor(numbers["scales"]) + torch.tensor(numbers["offsets"])
    return {"logits": logits[:, places]}


# A crop would cut away what is tagged at the border.
ROW = LearnerRow(
    "tags", "linear_tags", _make, "stretch", placed=False, solved_head="multiscale_tags", apart=_apart, taught=_taught
)
