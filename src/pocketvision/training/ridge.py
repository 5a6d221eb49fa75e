"""Ridge regression in closed form, with every left-out prediction from one factorisation, for any number of strengths.

Least squares with a quadratic penalty on the weights of standardised features, none on the bias (Hoerl and Kennard, 1970). What
a fit without a row, or without a group of rows, would have said of it follows from the fit on all of them (Allen's PRESS, 1974).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Loss = Callable[[Floats], float]
"""From predictions (n, k), each made without its own row or group, to a number: lower is better."""

STRENGTHS: tuple[float, ...] = tuple(float(strength) for strength in 10 ** np.arange(-3, 2.01, 0.25))
"""Penalties, in units of the mean variance along the standardised features' axes. Weaker ones drown in float32's rounding."""

_CONSTANT = 1e-5  # A column that varies by less than this share of its size is rounding, no feature.
_LEAST_SPREAD = (
    0.1  # Of the median: a channel that is silent on all pictures but one would be worth hundreds on a new one.
)
_LEAST_OWN = 1e-6  # What a row that is left out has of its own: less is rounding.
_CHUNK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear map: features (n, d) @ weights (d, k) + bias (k), the standardisation folded in.

    strength: the one of STRENGTHS that was chosen; losses: of each that was tried, by strength. left_out: (n, k) what a fit
    without the row's group says of it, at that strength.
    """

    weights: Floats
    bias: Floats
    strength: float
    losses: dict[float, float]
    left_out: Floats

    @property
    def loss(self) -> float:
        """The lowest, of the strength that was chosen."""
        return self.losses[self.strength]


def solve_ridge(
    features: Floats,
    targets: Floats,
    *,
    row_weights: NDArray[np.floating] | None = None,
    groups: NDArray[np.integer] | None = None,
    loss: Loss | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Ridge:
    """The ridge regression of targets (n, k) on features (n, d) at the strength of lowest `loss` on left-out predictions.

    row_weights: (n) what each row's squared error counts, above 0; None counts all alike. groups: (n) whole numbers; rows of one
    number are left out together (views of a picture, people); None leaves out each row alone. loss: None is the weighted mean
    squared error. The smaller of n and d is factorised, once. Standardisation is that of all rows, in every fit.

    Raises ValueError for shapes that do not fit, numbers that are not finite, weights that are not above 0, and fewer than two
    groups.
    """
    weights = np.ones(len(features), np.float64) if row_weights is None else np.asarray(row_weights, np.float64)
    _check(features, targets, weights, groups)
    roots = np.sqrt(weights / weights.mean()).astype(np.float32)[:, None]
    centre, spread = _standardisation(features, weights)
    middle = np.average(targets, axis=0, weights=weights).astype(np.float32)
    scaled = (features - centre) * (roots / spread)
    wanted = (targets - middle) * roots
    spectrum = _Spectrum.of(scaled)
    leave = _Leaving.of(spectrum.axes, roots[:, 0], groups)
    judged = loss or _squared_error(targets, weights)
    turned = spectrum.axes.T @ wanted
    losses: dict[float, float] = {}
    best: tuple[float, Floats] | None = None
    for strength in strengths:
        residuals = leave.residuals(spectrum.axes, wanted, turned, spectrum.damping(strength))
        left_out = targets - residuals / roots
        losses[strength] = judged(left_out)
        if best is None or losses[strength] < losses[best[0]]:
            best = strength, left_out
    if best is None:
        raise ValueError("no strength to choose from")
    chosen, left_out = best
    mapped = spectrum.weights(scaled, wanted, chosen) / spread[:, None]
    return Ridge(mapped, middle - centre @ mapped, chosen, losses, left_out)


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Of standardised, weighted features Z (n, d): axes A (n, r) with A Aᵀ = Z Zᵀ and orthogonal columns, `variances` (r) their
    squared lengths, `turns` (d, r) with A = Z turns where d is the smaller, or (n, r) with A = turns * lengths where n is."""

    axes: Floats
    variances: Floats
    turns: Floats
    by_feature: bool

    @classmethod
    def of(cls, scaled: Floats) -> "_Spectrum":
        count, size = scaled.shape
        by_feature = size <= count
        product = scaled.T @ scaled if by_feature else scaled @ scaled.T
        # Divide and conquer in LAPACK as SciPy ships it: 4 s for 3,600 features, where NumPy's takes 9.
        variances, turns = scipy.linalg.eigh(product, driver="evd", overwrite_a=True, check_finite=False)
        variances = np.maximum(variances, 0)
        axes = scaled @ turns if by_feature else turns * np.sqrt(variances)
        return cls(axes, variances, turns, by_feature)

    def penalty(self, strength: float) -> float:
        mean = float(self.variances.mean())
        return strength * (mean if mean > 0 else 1.0)  # features that are all constant have no weights anyway

    def damping(self, strength: float) -> Floats:
        """(r) one over variance and penalty: A diag(damping) Aᵀ maps targets to fitted values."""
        return np.asarray(1 / (self.variances + self.penalty(strength)), np.float32)

    def weights(self, scaled: Floats, wanted: Floats, strength: float) -> Floats:
        """(d, k) of the fit on all rows."""
        damping = self.damping(strength)[:, None]
        if self.by_feature:
            return self.turns @ (damping * (self.axes.T @ wanted))
        return scaled.T @ (self.turns @ (damping * (self.turns.T @ wanted)))


@dataclass(frozen=True, eq=False)
class _Leaving:
    """How rows are left out: alone, by their leverage, or by groups, `members` arrays (groups, rows of each) of one size each.

    squares: (n, r) of the axes, where rows are left out alone. shares: (n) square roots of what the bias owes to each row.
    """

    squares: Floats | None
    shares: Floats
    members: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, axes: Floats, roots: Floats, groups: NDArray[np.integer] | None) -> "_Leaving":
        shares = roots / np.sqrt(np.float32((roots.astype(np.float64) ** 2).sum()))
        members = () if groups is None else _by_size(groups)
        if all(rows.shape[1] == 1 for rows in members):
            return cls(axes**2, shares, ())
        return cls(None, shares, members)

    def residuals(self, axes: Floats, wanted: Floats, turned: Floats, damping: Floats) -> Floats:
        """(n, k) weighted residuals of each row from the fit without its group."""
        fitted = wanted - axes @ (damping[:, None] * turned)
        if self.squares is not None:
            own = 1 - self.squares @ damping - self.shares**2
            left: Floats = fitted / np.maximum(own, _LEAST_OWN)[:, None]
            return left
        left = np.empty_like(fitted)
        for rows in self.members:
            a, shares = axes[rows], self.shares[rows]
            leverage = (a * damping) @ a.transpose(0, 2, 1) + shares[:, :, None] * shares[:, None, :]
            own = np.eye(rows.shape[1], dtype=np.float32) * np.float32(1 + _LEAST_OWN) - leverage
            left[rows] = np.linalg.solve(own, fitted[rows])
        return left


def _by_size(groups: NDArray[np.integer]) -> tuple[NDArray[np.int64], ...]:
    """Rows by group, (groups, size), those of one size together, some thousand rows at a time."""
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.cumsum(sizes) - sizes
    found = []
    for size in np.unique(sizes).tolist():
        rows = order[starts[sizes == size][:, None] + np.arange(size)]
        step = max(1, _CHUNK_ROWS // size)
        found += [rows[start : start + step] for start in range(0, len(rows), step)]
    return tuple(found)


def _standardisation(features: Floats, weights: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """(d) weighted means, and deviations, _LEAST_SPREAD of their median at least; a constant column's is infinite, so that it
    counts nothing."""
    share = weights / weights.sum()
    centre = (share @ features).astype(np.float32)
    variance = np.zeros(features.shape[1])
    for start in range(0, len(features), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        variance += share[part] @ (features[part] - centre).astype(np.float64) ** 2
    spread = np.sqrt(variance)
    constant = spread <= _CONSTANT * np.abs(centre)
    least = 0.0 if constant.all() else _LEAST_SPREAD * float(np.median(spread[~constant]))
    return centre, np.where(constant, np.inf, np.maximum(spread, least)).astype(np.float32)


def _squared_error(targets: Floats, weights: NDArray[np.float64]) -> Loss:
    return lambda predicted: float(np.average(((predicted - targets) ** 2).mean(1), weights=weights))


def _check(features: Floats, targets: Floats, weights: NDArray[np.float64], groups: NDArray[np.integer] | None) -> None:
    count = len(features)
    if features.ndim != 2 or targets.ndim != 2 or len(targets) != count:
        raise ValueError(f"features {features.shape} and targets {targets.shape}: expected (n, d) and (n, k)")
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("row_weights: expected a number above 0 for each row")
    if groups is not None and groups.shape != (count,):
        raise ValueError(f"groups {groups.shape}: expected a whole number for each of {count} rows")
    if count < 2 or (groups is not None and len(np.unique(groups)) < 2):
        raise ValueError("to leave rows out takes at least two rows, or groups of them")
    if not np.isfinite(features).all() or not np.isfinite(targets).all():
        raise ValueError("features and targets: expected finite numbers")
