"""Compound scaling (EfficientNet, section 3.3): one number makes a network deeper, wider and finer at once. Needs no torch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pocketvision.errors import UsageError
from pocketvision.models.cost import Cost, cost
from pocketvision.models.spec import Architecture

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""The paper's coefficients of depth, width and resolution, found by a grid search on B0."""

TOLERANCE = 0.1
"""How far alpha * beta^2 * gamma^2 may lie from 2, as a share of it. The paper's own coefficients come to 1.92."""


@dataclass(frozen=True)
class CompoundScale:
    """Multipliers of repeats (`depth`), channels (`width`) and input size (`resolution`) for `phi`.

    Depth costs multiply-accumulates in proportion, width and resolution squared, so with alpha * beta^2 * gamma^2 = 2 the cost
    grows as 2^phi.
    """

    phi: float
    alpha: float = ALPHA
    beta: float = BETA
    gamma: float = GAMMA

    def __post_init__(self) -> None:
        if not min(self.alpha, self.beta, self.gamma) >= 1:  # not-a-number fails this too
            raise UsageError(
                f"alpha, beta and gamma are {self.alpha:g}, {self.beta:g}, {self.gamma:g}; each has to be at least 1, or the "
                "network would shrink along that side."
            )
        if not 0 <= self.phi <= 10:
            raise UsageError(f"phi is {self.phi:g}; expected a number from 0 (the base network) to 10.")
        if not abs(self.growth / 2 - 1) <= TOLERANCE:
            raise UsageError(
                f"alpha * beta^2 * gamma^2 is {self.growth:.3f}; expected 2 to within {TOLERANCE:.0%}, so that each step of phi "
                "doubles the cost. Raise or lower one of them."
            )

    @property
    def growth(self) -> float:
        """By how much the cost grows when phi grows by 1, before rounding."""
        return self.alpha * self.beta**2 * self.gamma**2

    @property
    def depth(self) -> float:
        return float(self.alpha**self.phi)

    @property
    def width(self) -> float:
        return float(self.beta**self.phi)

    @property
    def resolution(self) -> float:
        return float(self.gamma**self.phi)


def scaled(base: Architecture, scale: CompoundScale) -> Architecture:
    """`base` made larger: channels rounded to multiples of 8 (never down by more than a tenth), repeats rounded up, the input
    size rounded to an even number."""
    return replace(
        base,
        name=f"{base.name}_phi{scale.phi:g}",
        width=base.width * scale.width,
        depth=base.depth * scale.depth,
        input_size=2 * round(base.input_size * scale.resolution / 2),
    )


def fit_width(
    base: Architecture, *, macs: int | None = None, parameters: int | None = None, depth: float = 1.0
) -> Architecture:
    """The widest network of `base`'s rows, at `depth` times their repeats, within a budget of macs, parameters or both.

    Raises UsageError when no budget is given, or when even the narrowest network is above it.
    """
    fits = _within(macs, parameters)

    def at(width: float) -> Architecture:
        return replace(base, name=f"{base.name}_fit", width=base.width * width, depth=base.depth * depth)

    return _largest(at, fits, low=0.05, high=8.0, what=f"a width of {base.name}")


def fit_phi(
    base: Architecture, *, macs: int | None = None, parameters: int | None = None
) -> tuple[float, Architecture]:
    """The largest phi, with the paper's coefficients, whose network stays within the budget; and that network."""
    network = _largest(
        lambda phi: scaled(base, CompoundScale(phi)), _within(macs, parameters), low=0.0, high=10.0, what="phi"
    )
    return float(network.name.rpartition("_phi")[2]), network


def fit_coefficients(
    base: Architecture, *, macs: int, phi: float = 1.0, step: float = 0.05
) -> tuple[CompoundScale, Architecture]:
    """Of all (alpha, beta, gamma) on a grid that keep alpha * beta^2 * gamma^2 near 2, those that use most of the budget of macs.

    That is the paper's grid search with cost in place of accuracy: which of the candidates is most accurate only training tells.
    """
    candidates = [(scale, scaled(base, scale)) for scale in _grid(phi, step)]
    fitting = [(scale, network) for scale, network in candidates if cost(network).macs <= macs]
    if not fitting:
        least = min(cost(network).macs for _, network in candidates)
        raise UsageError(
            f"No coefficients at phi {phi:g} stay within {macs / 1e6:.0f} M MACs; the smallest network has {least / 1e6:.0f} M."
        )
    return max(fitting, key=lambda each: (cost(each[1]).macs, -abs(each[0].growth - 2)))


def _grid(phi: float, step: float) -> Iterator[CompoundScale]:
    values = [1 + step * index for index in range(round(1 / step) + 1)]
    for alpha in values:
        for beta in values:
            for gamma in values:
                if abs(alpha * beta**2 * gamma**2 / 2 - 1) <= TOLERANCE / 2:
                    yield CompoundScale(phi, round(alpha, 4), round(beta, 4), round(gamma, 4))


def _within(macs: int | None, parameters: int | None) -> Callable[[Cost], bool]:
    if macs is None and parameters is None:
        raise UsageError("There is no budget to fit: give macs, parameters or both.")
    most_macs = math.inf if macs is None else macs
    most_parameters = math.inf if parameters is None else parameters
    return lambda found: found.macs <= most_macs and found.parameters <= most_parameters


def _largest(
    at: Callable[[float], Architecture], fits: Callable[[Cost], bool], *, low: float, high: float, what: str
) -> Architecture:
    """Bisection: cost never falls as the number rises."""
    if not fits(cost(at(low))):
        least = cost(at(low))
        raise UsageError(
            f"The budget is too small for {what}: the smallest network has {least.parameters / 1e6:.2f} M parameters and "
            f"{least.macs / 1e6:.0f} M MACs."
        )
    if fits(cost(at(high))):
        return at(high)
    while high - low > 1e-3:
        middle = round((low + high) / 2, 6)
        low, high = (middle, high) if fits(cost(at(middle))) else (low, middle)
    return at(low)
