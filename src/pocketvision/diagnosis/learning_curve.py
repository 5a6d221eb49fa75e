"""What more pictures would bring: heads in closed form on cached features of shares of the training pictures, and a power law."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.diagnosis.finding import Finding
from pocketvision.training.ridge import solve_ridge

SHARES, DRAWS = (0.125, 0.25, 0.5, 1.0), 6
FEWEST = 64
"""Training pictures, below which shares are too few to fit anything to."""

WORTH = 0.01

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LearningCurve:
    """errors: by number of training pictures, the mean share of validation pictures that a head got wrong. now, doubled: what the
    power law error = a * n^-b says at all and at twice as many; sd: of the difference, over repeated draws and two fits."""

    errors: dict[int, float]
    exponent: float
    now: float
    doubled: float
    sd: float

    @property
    def gain(self) -> float:
        """By how much the error would fall."""
        return self.now - self.doubled


def learning_curve(
    features: Floats, labels: NDArray[np.integer], held: Floats, held_labels: NDArray[np.integer], *, seed: int = 0
) -> LearningCurve:
    """features (n, d) of the training pictures and labels (n), held (m, d) of validation pictures.

    Each of DRAWS takes pictures at random, solves a ridge head for every share of them, and fits the power law in logarithms
    (Hestness et al. 2017, https://arxiv.org/abs/1712.00409, section 2), once over all shares and once over the last two: the mean
    of both is told. An error of 0 counts as half a picture. The validation pictures are drawn with replacement, so that the sd
    holds for other ones too. A power law has no floor: of errors that no picture would mend it promises too much.
    """
    random, classes = np.random.default_rng(seed), int(max(labels.max(), held_labels.max())) + 1
    sizes = [max(8, round(share * len(labels))) for share in SHARES]
    errors = np.zeros((DRAWS, len(sizes)))
    for draw in range(DRAWS):
        order, judges = random.permutation(len(labels)), random.integers(0, len(held_labels), len(held_labels))
        for place, size in enumerate(sizes):
            chosen = order[:size]
            wrong = _wrong(features[chosen], labels[chosen], held, held_labels, classes)
            errors[draw, place] = max(float(wrong[judges].mean()), 0.5 / len(held_labels))
    ends = (sizes[-1], 2 * sizes[-1])
    fits = [[_power_law(sizes[begin:], each[begin:]) for begin in (0, -2)] for each in errors]
    both = np.exp([[[np.polyval(fit, np.log(count)) for count in ends] for fit in pair] for pair in fits])
    predicted, exponent = both.mean(axis=1), -float(np.mean([pair[0][0] for pair in fits]))
    gains = both[:, :, 0] - both[:, :, 1]
    sd = float(np.hypot(gains.mean(axis=1).std(ddof=1), np.ptp(gains.mean(axis=0)) / 2))
    now, doubled = predicted.mean(axis=0).tolist()
    by_size = dict(zip(sizes, errors.mean(axis=0).tolist(), strict=True))
    return LearningCurve(by_size, exponent, now, doubled, sd)


def _power_law(sizes: Sequence[int], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slope and height in logarithms; level where the errors rise, for more pictures do no harm in the long run."""
    found = np.polyfit(np.log(sizes), np.log(errors), 1)
    return found if found[0] <= 0 else np.array([0.0, float(np.log(errors).mean())])


def _wrong(
    features: Floats, labels: NDArray[np.integer], held: Floats, held_labels: NDArray[np.integer], classes: int
) -> NDArray[np.bool_]:
    wanted = np.eye(classes, dtype=np.float32)[labels]
    head = solve_ridge(features, wanted)
    wrong: NDArray[np.bool_] = (held @ head.weights + head.bias).argmax(axis=1) != held_labels
    return wrong


def more_pictures(task: str, curve: LearningCurve, of: int) -> Finding:
    """What twice the pictures would bring. of: training pictures of the run."""
    about = f"more pictures for {task}"
    told = ", ".join(f"{error:.1%} with {count}" for count, error in curve.errors.items())
    text = (
        f"Heads solved on the network's features err in {told}. By a power law (n to the {-curve.exponent:.2f}) twice the "
        f"pictures would bring {100 * curve.gain:.1f} ± {100 * curve.sd:.1f} points"
    )
    figures = {"errors": curve.errors, "gain": curve.gain, "sd": curve.sd, "exponent": curve.exponent, "pictures": of}
    if curve.gain > max(WORTH, 2 * curve.sd):
        return Finding(about, "look", f"{text}.", "Collect more pictures, of the confused classes first.", figures)
    return Finding(about, "fine", f"{text}: other things come first.", figures=figures)


def not_in_closed_form(task: str, kind: str) -> Finding:
    """Of tasks whose heads take steps."""
    return Finding(
        f"more pictures for {task}",
        "unknown",
        f"Heads for {kind} are not solved in closed form, so a learning curve takes trainings of shares of the data: train on "
        "half of the pictures and on all of them, and compare the two on one test set (pocketvision evaluate).",
    )
