"""Whether a probability of 80 % is right 8 times in 10, and what makes it so: a temperature, or a scale for every class
(Guo et al. 2017)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.statistics import Interval, wilson
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.folds import stratified_folds
from pocketvision.tasks.classification.temperature import fit_temperature
from pocketvision.tasks.classification.vector_scaling import FOLDS, Scaling, fit_by_class

# Guo et al. use 15, on test sets of ten thousands; with the hundreds of images common here, those would be near empty.
BINS = 10
_SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Bin:
    """The images (at least one) whose predicted class has a probability in [low, high).

    confidence: that probability's mean. accuracy: the share of right answers, with its 95 % interval.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float
    interval: Interval | None


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be trusted. error: expected calibration error in [0, 1]; log_loss in nats.

    bins: ascending, those without images left out.
    """

    error: float
    log_loss: float
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        columns = ("low", "high", "images", "confidence", "accuracy")
        bins = [{column: getattr(row, column) for column in columns} for row in self.bins]
        return {"expected_calibration_error": self.error, "log_loss": self.log_loss, "bins": bins}


@dataclass(frozen=True)
class Calibration:
    """Calibration without (`before`) and with (`after`) scaling.

    temperature: what the logits are divided by in the bundle. cross_fitted: `after` scaled every image's logits by what was
    fitted without it, because the bundle's own was fitted on these very images. by_class: whether the bundle scales every
    class's logit on its own besides (vector_scaling.py).
    """

    temperature: float
    cross_fitted: bool
    before: Reliability
    after: Reliability
    by_class: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "temperature": self.temperature,
            "by_class": self.by_class,
            "cross_fitted": self.cross_fitted,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


def log_loss(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """The mean negative log probability (nats) of the true class; probabilities below 1e-7 count as that."""
    return float(log_losses(labels, probabilities).mean())


def log_losses(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) the same of each image."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: NDArray[np.float64] = -np.log(np.maximum(of_truth, _SMALLEST_PROBABILITY))
    return losses


def brier_scores(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) the squared distance of each image's probabilities (n, classes) from its class (Brier 1950): summed over the classes,
    in [0, 2]; of two classes that of one, in [0, 1]."""
    apart = probabilities.astype(np.float64)
    apart[np.arange(len(labels)), labels] -= 1
    scores: NDArray[np.float64] = (apart**2).sum(axis=1)
    return scores / 2 if probabilities.shape[1] == 2 else scores


def cross_fitted_probabilities(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    folds: int = FOLDS,
    seed: int = 0,
    by_class: bool = False,
) -> NDArray[np.float32]:
    """(n, classes) probabilities, each row scaled by what was fitted on the other folds (stratified, seeded): a temperature, or
    scales of every class.

    So the figures of these probabilities are honest although `labels` served to fit: no row saw its own label.
    """
    fold = stratified_folds(labels, folds, seed)
    probabilities = np.empty(logits.shape, np.float32)
    for number in range(folds):
        inside = fold == number
        scaling = Scaling(fit_temperature(logits[~inside], labels[~inside]))
        if by_class and not inside.all():
            scaling = fit_by_class(logits[~inside], labels[~inside], scaling.temperature)
        probabilities[inside] = scaling.probabilities(logits[inside])
    return probabilities


def reliability(probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, bins: int = BINS) -> Reliability:
    """Compare the probability of every predicted class with how often it was right, in `bins` bins of equal width.

    The expected calibration error is the mean distance between the two, weighted by the images in a bin.
    probabilities: (n, classes), n >= 1. labels: (n,).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows: list[Bin] = []
    for number in np.unique(place).tolist():
        inside = place == number
        images, hits = int(inside.sum()), int(right[inside].sum())
        rows.append(
            Bin(
                low=number / bins,
                high=(number + 1) / bins,
                images=images,
                confidence=float(confidence[inside].mean()),
                accuracy=hits / images,
                interval=wilson(hits, images),
            )
        )
    error = sum(row.images * abs(row.confidence - row.accuracy) for row in rows) / len(labels)
    return Reliability(error=error, log_loss=log_loss(labels, probabilities), bins=tuple(rows))


def calibration(
    logits: NDArray[np.floating],
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    scaling: Scaling,
    cross_fit: bool,
    seed: int = 0,
) -> Calibration:
    """Calibration of `logits` before and after scaling.

    logits, probabilities: (n, classes), n >= 1; probabilities are the bundle's answers, with its `scaling`.
    cross_fit: whether that scaling was fitted on these images, so that it must not be judged on them.
    """
    by_class = scaling.scales is not None
    after = cross_fitted_probabilities(logits, labels, seed=seed, by_class=by_class) if cross_fit else probabilities
    return Calibration(
        by_class=by_class,
        temperature=scaling.temperature,
        cross_fitted=cross_fit,
        before=reliability(softmax(logits), labels),
        after=reliability(after, labels),
    )
