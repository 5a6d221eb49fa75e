"""Learning classes: cross-entropy, and the scaling that makes the probabilities honest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketvision.data.balance import class_weights
from pocketvision.errors import unknown_name
from pocketvision.models.heads.classification.linear import scaled
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.temperature import fit_temperature
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.classification.vector_scaling import fit_scaling
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic, blended
from pocketvision.training.regression import Judged, Regression
from pocketvision.training.soft_classes import divergence

_STEEP = 16.0
"""Least squares says 0 or 1 where logits differ by several: brings the temperature near 1, where it is looked for."""

FOCUS = 2.0
"""The exponent of the focal loss, as its authors use it."""

Loss = Callable[[Tensor, Tensor, Tensor | None, float], Tensor]
"""Of logits (N, classes), labels (N), weights (classes) or None, and the smoothing in [0, 1): a number."""


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """In nats, of an image on average; an image counts as its class weighs."""
    return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)


def focal(logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy by how wrong an image is (Lin et al. 2017, https://arxiv.org/abs/1708.02002, over classes that exclude each
    other)."""
    entropy = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    own = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    each = (1 - own) ** FOCUS * entropy
    return each.mean() if weights is None else (weights[labels] * each).sum() / weights[labels].sum()


def binary(logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """A yes or no of each class, one against all others, the sum over classes; weights are of the yes."""
    asked = F.one_hot(labels, logits.shape[1]).to(logits.dtype) * (1 - smoothing) + smoothing / logits.shape[1]
    return F.binary_cross_entropy_with_logits(logits, asked, pos_weight=weights, reduction="none").sum(1).mean()


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "focal": focal, "binary": binary}
"""By name; the first is the default."""

Record = tuple[Tensor, Tensor]
"""Logits (N, classes) and labels (N)."""


@dataclass(frozen=True, eq=False)
class MixedLabels:
    """Labels (N) int64 and those of each row's partner. share: of a row's own in the loss."""

    own: Tensor
    partners: Tensor
    share: float


@dataclass(frozen=True, eq=False)
class ClassLearner:
    """Targets are labels (N) int64, or mixed ones. weights: (classes,) of the loss; None for none. label_smoothing: in [0, 1).
    loss_name: of LOSSES."""

    weights: Tensor | None = None
    label_smoothing: float = 0.0
    loss_name: str = "cross_entropy"

    def targets(self, truth: ClassLabels, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Tensor:
        del placements  # a class is the same wherever the image lies
        return torch.from_numpy(truth.labels[rows].astype(np.int64))

    def loss(self, outputs: Outputs, targets: Tensor | MixedLabels) -> dict[str, Tensor]:
        """One part, by the loss's name."""
        name = self.loss_name
        if isinstance(targets, MixedLabels):
            own, partners = (self.loss(outputs, each)[name] for each in (targets.own, targets.partners))
            return {name: targets.share * own + (1 - targets.share) * partners}
        return {name: LOSSES[name](outputs["logits"], targets, self.weights, self.label_smoothing)}

    def right(self, outputs: Outputs, targets: Tensor | MixedLabels) -> tuple[int, int]:
        """Of mixed rows, those whose larger part was found."""
        if isinstance(targets, MixedLabels):
            targets = targets.own if targets.share >= 0.5 else targets.partners
        return int((outputs["logits"].argmax(1) == targets).sum()), len(targets)

    def mixed(self, targets: Tensor, mix: Mix | Mosaic) -> MixedLabels:
        mix = blended(mix, "a class")
        return MixedLabels(targets, targets[mix.order], mix.share)

    def record(self, outputs: Outputs, targets: Tensor) -> Record:
        return outputs["logits"], targets

    def validated(self, records: Sequence[Record]) -> Validated:
        """Cross-entropy in nats, unweighted and without smoothing, and accuracy.

        The loss is taken after temperature scaling, as the shipped model answers: fine-tuning on few images makes a network
        overconfident long before it stops improving, and the raw loss would then keep the weights of a worse epoch.
        """
        logits, labels = _joined(records)
        # Not-a-number has no temperature; the next training step names the files.
        finite = bool(torch.isfinite(logits).all())
        temperature = fit_temperature(logits.numpy(), labels.numpy()) if finite else 1.0
        loss = F.cross_entropy(logits / temperature, labels).item()
        return Validated(loss, float((logits.argmax(1) == labels).float().mean()), "accuracy")

    def calibrate(self, records: Sequence[Record]) -> dict[str, Any]:
        """A temperature, and scales and offsets of every class where they help (vector_scaling.py)."""
        logits, labels = _joined(records)
        return fit_scaling(logits.numpy(), labels.numpy()).to_postprocessing()

    def regression(self, targets: Tensor, outputs: int) -> Regression:
        """On one column a class, 0 or 1, judged as `validated` does: the scales are one over the temperature."""
        labels = targets.numpy()
        weights = None if self.weights is None else self.weights.numpy().astype(np.float64)[labels]

        def judge(predicted: NDArray[np.float32], rows: NDArray[np.int64]) -> Judged:
            logits, of_rows = _STEEP * predicted, labels[rows]
            temperature = fit_temperature(logits, of_rows)
            loss = F.cross_entropy(torch.from_numpy(logits / np.float32(temperature)), targets[rows]).item()
            scales = np.full(outputs, _STEEP / temperature, np.float32)
            return Judged(loss, float((logits.argmax(1) == of_rows).mean()), scales, np.zeros_like(scales))

        return Regression(np.eye(outputs, dtype=np.float32)[labels], weights, judge)

    def score_of(self, outputs: Outputs, choice: int) -> Tensor:
        """The class's logit."""
        return outputs["logits"][:, choice]


def _joined(records: Sequence[Record]) -> Record:
    logits, labels = zip(*records, strict=True)
    return torch.cat(logits), torch.cat(labels)


def _make(options: LearnerOptions, truth: ClassLabels) -> ClassLearner:
    name = options.loss or next(iter(LOSSES))
    if name not in LOSSES:
        raise unknown_name("loss for classes", name, LOSSES)
    weights = None
    if options.class_weights != "none":
        weights = torch.from_numpy(class_weights(truth.class_counts(), truth.class_names, options.class_weights))
    return ClassLearner(weights, options.label_smoothing, name)


def _apart(outputs: Outputs, taught: Outputs, temperature: float) -> Tensor:
    return divergence(outputs["logits"], taught["logits"], temperature)


def _taught(said: Outputs, task: TaskManifest, places: Tensor, learner: ClassLearner) -> dict[str, Tensor]:
    """As honest as the teacher ships: by its own scaling."""
    del learner
    return {"logits": scaled(said["logits"], task.postprocessing)[:, places]}


ROW = LearnerRow(
    "classification", "linear", _make, placed=False, solved_head="multiscale_linear", apart=_apart, taught=_taught
)
