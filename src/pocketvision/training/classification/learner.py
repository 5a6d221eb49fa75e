"""Learning classes: cross-entropy, and a temperature that makes the probabilities honest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pocketvision.data.balance import class_weights
from pocketvision.errors import unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.temperature import fit_temperature
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix, Mosaic, blended
from pocketvision.training.regression import Judged, Regression
from pocketvision.training.soft_classes import divergence

_STEEP = 16.0
"""Least squares says 0 or 1 where logits differ by several: brings the temperature near 1, where it is looked for."""

LOSS = "cross_entropy"

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
    """Targets are labels (N) int64, or mixed ones. weights: (classes,) of the loss; None for none. label_smoothing: in [0, 1)."""

    weights: Tensor | None = None
    label_smoothing: float = 0.0

    def targets(self, truth: ClassLabels, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Tensor:
        del placements  # a class is the same wherever the image lies
        return torch.from_numpy(truth.labels[rows].astype(np.int64))

    def loss(self, outputs: Outputs, targets: Tensor | MixedLabels) -> dict[str, Tensor]:
        """`cross_entropy`, in nats."""
        if isinstance(targets, MixedLabels):
            own, partners = (self.loss(outputs, each)["cross_entropy"] for each in (targets.own, targets.partners))
            return {"cross_entropy": targets.share * own + (1 - targets.share) * partners}
        smoothing = self.label_smoothing
        entropy = F.cross_entropy(outputs["logits"], targets, weight=self.weights, label_smoothing=smoothing)
        return {LOSS: entropy}

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

    def calibrate(self, records: Sequence[Record]) -> dict[str, float]:
        logits, labels = _joined(records)
        return {"temperature": fit_temperature(logits.numpy(), labels.numpy())}

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
    if options.loss not in ("", LOSS):
        raise unknown_name("loss for classes", options.loss, (LOSS,))
    weights = None
    if options.class_weights != "none":
        weights = torch.from_numpy(class_weights(truth.class_counts(), truth.class_names, options.class_weights))
    return ClassLearner(weights, options.label_smoothing)


def _apart(outputs: Outputs, taught: Outputs, temperature: float) -> Tensor:
    return divergence(outputs["logits"], taught["logits"], temperature)


def _taught(said: Outputs, task: TaskManifest, places: Tensor, learner: ClassLearner) -> dict[str, Tensor]:
    """As honest as the teacher ships: at its own temperature."""
    del learner
    return {"logits": said["logits"][:, places] / float(task.postprocessing.get("temperature", 1.0))}


ROW = LearnerRow("classification", "linear", _make, solved_head="multiscale_linear", apart=_apart, taught=_taught)
