"""The search space of `fit`: the trials that may bring a bundle within a budget, in the order that they are run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pocketvision.errors import UsageError, unknown_name
from pocketvision.models.catalog import ARCHITECTURES, architecture
from pocketvision.models.cost import cost
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS
from pocketvision.models.spec import ModelSpec

Kind = Literal["float", "size", "int8", "tuned-size", "pruning", "network"]
Value = float | str
KINDS: dict[Kind, str] = {
    "size": "a smaller input, as it is",
    "int8": "8 bits, of every other trial",
    "tuned-size": "a smaller input, tuned at it",
    "pruning": "fewer channels, tuned",
    "network": "smaller networks of the catalogue, trained on the data",
}
"""Kinds of trials, by the names --try knows. Input sizes as they are and 8 bits take a minute or so; the others train."""


@dataclass(frozen=True)
class Trial:
    """One trial: what `kind` makes of the trial called `of`, with its `value` (pixels; share of multiply-accumulates; a name)."""

    name: str
    kind: Kind
    of: str = ""
    value: Value = 0


# Shares of the input's side, and of multiply-accumulates that stay in each of two prunings, the second from the first.
_SIZES = (0.75, 0.5)
_PRUNINGS = (0.6, 0.6)
# Shares of multiply-accumulates that smaller networks of the catalogue may take.
_NETWORKS = (0.6, 0.3)
_MULTIPLE = 32


def search_space(spec: ModelSpec, size: int, networks: Sequence[str], kinds: Sequence[str]) -> list[list[Trial]]:
    """Every trial for a network of `spec` at `size` pixels, in groups: first all that need no training, then one that does, with
    its 8 bits, at a time.

    networks: names of smaller rows. kinds: names of KINDS. Raises UsageError for an unknown kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown_name("step to --try", kind, KINDS)
    cheap = [Trial("as-it-is", "float")]
    if "size" in kinds:
        cheap += [Trial(f"size-{pixels}", "size", "as-it-is", pixels) for pixels in _smaller_sizes(spec, size)]
    trained = []
    if "tuned-size" in kinds:
        trained += [
            Trial(f"tuned-size-{pixels}", "tuned-size", "as-it-is", pixels) for pixels in _smaller_sizes(spec, size)
        ]
    if "pruning" in kinds:
        left = [100 * math.prod(_PRUNINGS[: index + 1]) for index in range(len(_PRUNINGS))]
        names = ["as-it-is", *(f"pruned-{share:.0f}" for share in left)]
        trained += [
            Trial(name, "pruning", below, share)
            for below, name, share in zip(names, names[1:], _PRUNINGS, strict=False)
        ]
    if "network" in kinds:
        trained += [Trial(name.replace(":", "-"), "network", "as-it-is", name) for name in networks]
    groups = [cheap, *([trial] for trial in trained)]
    if "int8" in kinds:
        groups = [[*group, *(Trial(f"{trial.name}-int8", "int8", trial.name) for trial in group)] for group in groups]
    return groups


def _smaller_sizes(spec: ModelSpec, size: int) -> list[int]:
    """Smaller sizes that the network takes: whole multiples of its last stride, so that nothing is cut off."""
    found = []
    for share in _SIZES:
        pixels = max(_MULTIPLE, round(size * share / _MULTIPLE) * _MULTIPLE)
        # Some of timm's networks are made for one size.
        if pixels < size and pixels not in found and _accepts_size(spec, pixels):
            found.append(pixels)
    return found


def smaller_networks(spec: ModelSpec, size: int, shares: Sequence[float] = _NETWORKS) -> list[str]:
    """For each share, the row of the catalogue with the best published accuracy among those that take at most that share of the
    multiply-accumulates of `spec`, at `size` pixels. Rows without published weights are left out: a few images do not train
    one from nothing."""
    whole = cost(spec, size=size).macs
    rows = {name: row for name in ARCHITECTURES if _accepts_size(row := architecture(name), size)}
    costs = {name: cost(row, size=size).macs for name, row in rows.items()}
    found: list[str] = []
    for share in shares:
        fitting = [
            (top1, name) for name, macs in costs.items() if macs <= share * whole and (top1 := _published_top1(name))
        ]
        best = max(fitting, default=(0.0, ""))[1]
        if best and best not in found:
            found.append(best)
    return found


def _published_top1(name: str) -> float:
    """Top-1 of its first published weights, in percent; 0 where there are none."""
    rows = PUBLISHED_WEIGHTS.get(name, ())
    return (rows[0].top1 or 0.0) if rows else 0.0


def _accepts_size(spec: ModelSpec, size: int) -> bool:
    try:
        spec.check_size(size, size)
    except UsageError:
        return False
    return True
