"""Networks scaled by compound coefficients, or to a budget: as tables."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.models import efficientnet
from pocketvision.models.catalog import architecture
from pocketvision.models.cost import Cost, cost
from pocketvision.models.scaling import ALPHA, BETA, GAMMA, CompoundScale, fit_coefficients, fit_phi, fit_width, scaled
from pocketvision.models.spec import Architecture


@dataclass(frozen=True)
class ScaledModel:
    """A scaled architecture, its multipliers over the base and its cost.

    `alpha`, `beta` and `gamma` are the coefficients that phi was raised on. They and `phi` are None where a width was fitted,
    and for the published networks, whose multipliers their authors rounded.
    """

    architecture: Architecture
    base: str
    phi: float | None
    depth: float
    width: float
    resolution: float
    cost: Cost
    alpha: float | None = None
    beta: float | None = None
    gamma: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `architecture` is what --model takes as a file."""
        return {**asdict(self), "architecture": self.architecture.to_dict()}


def scale_model(
    base: str = "efficientnet_b0",
    *,
    phi: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
    width: bool = False,
    depth: float = 1.0,
    coefficients: bool = False,
    max_macs: float | None = None,
    max_parameters: float | None = None,
) -> ScaledModel:
    """`base` scaled by `phi`; or, without phi, to what fits a budget of macs or parameters.

    With a budget the largest phi is sought, or with `width` the largest width at `depth` times the repeats, or with
    `coefficients` those alpha, beta and gamma whose network at `phi` (None: 1) uses most of `max_macs`.
    alpha, beta, gamma: None takes the paper's.
    Raises UsageError for coefficients that break alpha * beta^2 * gamma^2 = 2, for a budget that nothing fits, and for options
    that do not go together.
    """
    row = architecture(base)
    if not isinstance(row, Architecture):
        raise UsageError(f"{base} is not made of convolutional rows, which are what is scaled here.")
    macs, parameters = _budget("--max-macs", max_macs), _budget("--max-parameters", max_parameters)
    given = {"--alpha": alpha, "--beta": beta, "--gamma": gamma}
    own = [option for option, value in given.items() if value is not None]
    if coefficients:
        _check_coefficients(own, phi=phi, width=width, depth=depth, macs=macs, parameters=parameters)
    else:
        _check_scaling(own, phi=phi, width=width, depth=depth, budget=macs is not None or parameters is not None)
    scale: CompoundScale | None = None
    if coefficients and macs is not None:
        scale, found = fit_coefficients(row, macs=macs, phi=1.0 if phi is None else phi)
    elif phi is not None:
        scale = CompoundScale(
            phi, ALPHA if alpha is None else alpha, BETA if beta is None else beta, GAMMA if gamma is None else gamma
        )
        found = scaled(row, scale)
    elif width:
        found = fit_width(row, macs=macs, parameters=parameters, depth=depth)
    else:
        largest, found = fit_phi(row, macs=macs, parameters=parameters)
        scale = CompoundScale(largest)
    return ScaledModel(
        found,
        base,
        None if scale is None else scale.phi,
        found.depth / row.depth,
        found.width / row.width,
        found.input_size / row.input_size,
        cost(found),
        *((None, None, None) if scale is None else (scale.alpha, scale.beta, scale.gamma)),
    )


def _check_coefficients(
    own: Sequence[str], *, phi: float | None, width: bool, depth: float, macs: int | None, parameters: int | None
) -> None:
    """UsageError when `--coefficients` stands beside what it seeks, or without its budget. `own`: the coefficients given."""
    if own:
        raise UsageError(
            f"--coefficients seeks alpha, beta and gamma; {own[0]} gives one already. Leave one of them out."
        )
    if width:
        raise UsageError(
            "--coefficients seeks depth, width and resolution; --width the width alone. Leave one of them out."
        )
    if depth != 1.0:
        raise UsageError("--depth is for --width; with --coefficients alpha scales the depth.")
    if parameters is not None:
        raise UsageError("--coefficients has a budget of --max-macs; leave --max-parameters out.")
    if macs is None:
        raise UsageError("--coefficients needs a budget: give --max-macs as well.")
    if phi == 0:
        raise UsageError(
            "--coefficients changes nothing at --phi 0, which is the base network; expected a phi above 0."
        )


def _check_scaling(own: Sequence[str], *, phi: float | None, width: bool, depth: float, budget: bool) -> None:
    """UsageError for options that do not go together, without `--coefficients`. `own`: the coefficients given."""
    if phi is not None and budget:
        raise UsageError(
            "Give --phi or a budget (--max-macs, --max-parameters), not both; --coefficients alone takes --phi with --max-macs."
        )
    if phi is None and not budget:
        raise UsageError("Say how large: --phi, --max-macs or --max-parameters.")
    if phi is not None and width:
        raise UsageError("--width seeks the width for a budget; --phi gives it already. Leave one of them out.")
    if depth != 1.0 and not width:
        raise UsageError("--depth is for --width; else phi scales the depth.")
    if phi is None and own:
        raise UsageError("--alpha, --beta and --gamma are for --phi; a budget is searched with the paper's.")
    if not 0.01 <= depth <= 100:
        raise UsageError(f"--depth is {depth}; expected a number from 0.01 to 100.")


def _budget(option: str, value: float | None) -> int | None:
    if value is None:
        return None
    if not 0 < value < 1e15:
        raise UsageError(f"{option} is {value:g}; expected a number above 0.")
    return int(value)


def published_scales() -> tuple[ScaledModel, ...]:
    """EfficientNet B0 to B7, to lay a scaled network beside."""
    rows = [row for row in efficientnet.ROWS if re.fullmatch(r"efficientnet_b\d", row.name)]
    base = rows[0]
    return tuple(
        ScaledModel(row, base.name, None, row.depth, row.width, row.input_size / base.input_size, cost(row))
        for row in rows
    )
