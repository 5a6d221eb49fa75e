"""Vector scaling: a factor and an offset for every class's logit, where that makes probabilities more honest than one temperature
(Guo et al. 2017, section 4.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.folds import stratified_folds
from pocketvision.tasks.classification.temperature import fit_temperature

FOLDS = 5
LEAST_IMAGES = 10
"""A class, on average: below, two numbers of each class follow chance."""

_LEAST_GAIN = 2.0
"""Of the log loss on held-out folds, in standard errors over images: one would take it for a sixth of all networks that it does
not help."""

_PULL = 10.0
"""Towards the temperature alone, of half the squared distance: about as much as ten images weigh."""
_STEPS, _HALVINGS, _DONE = 50, 20, 1e-9
_SMALLEST_FACTOR = 0.05

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scaling:
    """probabilities = softmax(logits / temperature * scales + offsets). scales, offsets: (classes,), both None for the
    temperature alone."""

    temperature: float = 1.0
    scales: Floats | None = None
    offsets: Floats | None = None

    def scaled(self, logits: NDArray[np.floating]) -> Floats:
        """(n, classes) of logits (n, classes)."""
        found: Floats = np.asarray(logits, np.float64) / self.temperature
        return found if self.scales is None or self.offsets is None else found * self.scales + self.offsets

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, classes) of logits (n, classes)."""
        return softmax(self.scaled(logits))

    def to_postprocessing(self) -> dict[str, Any]:
        """A manifest's settings: `temperature`, and `scales` and `offsets` where there are some."""
        if self.scales is None or self.offsets is None:
            return {"temperature": self.temperature}
        return {"temperature": self.temperature, "scales": self.scales.tolist(), "offsets": self.offsets.tolist()}


def scaling_of(postprocessing: Mapping[str, Any]) -> Scaling:
    """What a manifest says; a temperature of 1 where it says nothing."""
    arrays = [np.array(postprocessing[name]) if name in postprocessing else None for name in ("scales", "offsets")]
    return Scaling(float(postprocessing.get("temperature", 1.0)), *arrays)


def fit_scaling(logits: NDArray[np.floating], labels: NDArray[np.integer], *, seed: int = 0) -> Scaling:
    """What suits `logits` (n, classes) with `labels` (n,): by class where held-out folds say that this helps, else a temperature.

    It helps where the mean log loss on FOLDS held-out folds falls by more than two standard errors of the images' differences,
    and no more answers are wrong there. With fewer than LEAST_IMAGES a class it is not tried.
    """
    plain = Scaling(fit_temperature(logits, labels))
    classes = logits.shape[1]
    if classes < 2 or len(labels) < LEAST_IMAGES * classes or not np.isfinite(logits).all():
        return plain
    rows, fold = np.arange(len(labels)), stratified_folds(labels, FOLDS, seed)
    losses, wrong = np.empty((2, len(labels))), np.empty((2, len(labels)), bool)
    for number in range(FOLDS):
        held = fold == number
        one = Scaling(fit_temperature(logits[~held], labels[~held]))
        for place, each in enumerate((one, fit_by_class(logits[~held], labels[~held], one.temperature))):
            shares = each.probabilities(logits[held])
            losses[place, held] = -np.log(np.maximum(shares[rows[: held.sum()], labels[held]], 1e-7))
            wrong[place, held] = shares.argmax(axis=1) != labels[held]
    gains = losses[0] - losses[1]
    sure = gains.mean() > _LEAST_GAIN * gains.std(ddof=1) / np.sqrt(len(gains))
    return fit_by_class(logits, labels, plain.temperature) if sure and wrong[1].sum() <= wrong[0].sum() else plain


def fit_by_class(logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float) -> Scaling:
    """The factors and offsets that make `logits` (n, classes) / temperature most likely to give `labels` (n,), n >= 1. _PULL
    holds them near 1 and 0; a temperature of all gives back how sure answers are, which the pull takes. The temperature alone
    where a factor would come to nothing or less."""
    values = np.asarray(logits, np.float64) / temperature
    scales, offsets = _most_likely(values, labels)
    if scales.min() < _SMALLEST_FACTOR:
        return Scaling(temperature)
    again = fit_temperature(values * scales + offsets, labels)
    return Scaling(temperature, scales / again, offsets / again)


def _most_likely(values: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """By Newton's method with halved steps: the loss is convex."""
    classes = values.shape[1]
    start = np.r_[np.ones(classes), np.zeros(classes)]
    found, loss = start, _loss(start, start, values, labels)
    for _ in range(_STEPS):
        slope, bend = _derivatives(found, start, values, labels)
        step = np.linalg.solve(bend, slope)
        if slope @ step < _DONE:
            break
        for halving in range(_HALVINGS):
            tried = found - step / 2**halving
            if (new := _loss(tried, start, values, labels)) < loss:
                found, loss = tried, new
                break
        else:
            break
    return found[:classes], found[classes:]


def _loss(found: Floats, start: Floats, values: Floats, labels: NDArray[np.integer]) -> float:
    """Summed negative log likelihood and the pull."""
    classes = values.shape[1]
    scaled = values * found[:classes] + found[classes:]
    highest = scaled.max(axis=1)
    sums = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
    pull = _PULL * ((found - start) ** 2).sum() / 2
    return float((sums - scaled[np.arange(len(labels)), labels]).sum() + pull)


def _derivatives(found: Floats, start: Floats, values: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Of _loss: the first (2 classes) and the second (2 classes, 2 classes)."""
    classes = values.shape[1]
    shares = softmax(values * found[:classes] + found[classes:]).astype(np.float64)
    errors = shares.copy()
    errors[np.arange(len(labels)), labels] -= 1
    slope = np.r_[(errors * values).sum(axis=0), errors.sum(axis=0)] + _PULL * (found - start)
    spread = np.hstack([shares * values, shares])
    bend = -(spread.T @ spread)
    own = np.arange(classes)
    for row, column, weights in (
        (0, 0, values**2),
        (0, classes, values),
        (classes, 0, values),
        (classes, classes, 1.0),
    ):
        bend[own + row, own + column] += (shares * weights).sum(axis=0)
    bend[np.diag_indices_from(bend)] += _PULL
    return slope, bend
