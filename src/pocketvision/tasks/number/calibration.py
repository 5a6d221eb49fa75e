"""From a network's standardised numbers to those of the data: a scale, an offset, and an interval from residuals."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9
"""Of the interval that ships."""

_PULL = 1.0
"""In images: towards the scale and the centre that are expected."""


@dataclass(frozen=True)
class Fitted:
    """number = scale * standardised + offset. half_width: of the interval with COVERAGE; None where so few images can not tell.
    images: that these were found on."""

    scale: float
    offset: float
    half_width: float | None
    images: int


def fit(standardised: NDArray[np.floating], truth: NDArray[np.floating], centre: float, spread: float) -> Fitted:
    """standardised, truth: (n), n >= 1. centre, spread: the offset and the scale that are expected, and kept by few images.

    A straight line by least squares, with a weak pull (ridge) towards what is expected. The interval is split conformal (Vovk
    et al. 2005; Lei et al. 2018): the ceil((n + 1) * COVERAGE)-th smallest absolute residual. New images of the same kind are
    in it with COVERAGE at least. The line is fitted on the same images, so each one's residual is that of the line without it
    (the jackknife's, in closed form).
    """
    values = standardised.astype(np.float64)
    wanted = (truth.astype(np.float64) - centre) / spread
    inputs = np.stack([values, np.ones(len(values))], axis=1)
    inverse = np.linalg.inv(inputs.T @ inputs + _PULL * np.eye(2))
    slope, shift = inverse @ (inputs.T @ wanted + _PULL * np.array([1.0, 0.0]))
    leverage = np.einsum("ni,ij,nj->n", inputs, inverse, inputs)
    residuals = np.abs(wanted - slope * values - shift) / np.maximum(1 - leverage, 1e-6)
    rank = ceil((len(values) + 1) * COVERAGE)
    half = None if rank > len(values) else float(np.sort(residuals)[rank - 1] * spread)
    return Fitted(float(slope * spread), float(shift * spread + centre), half, len(values))
