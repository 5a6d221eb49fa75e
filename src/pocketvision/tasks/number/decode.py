"""From a graph's tensors to Numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.number.answer import Interval, Number
from pocketvision.tasks.task import Detail

VALUE, STANDARDISED = "value", "standardised"
"""The roles of the outputs, (N, 1) each: the number in its unit, and what it is made of, in standard deviations of the numbers
that were learned from. Runtimes are held to the second: what a unit is worth, only the data knows."""


@dataclass(frozen=True)
class Shipped:
    """What a bundle's postprocessing says of a number, besides `scale` and `offset`, which are in its graph.

    unit: empty where there is none. half_width: of the interval, in the unit, and coverage: of which share; None and 0 where too
    few images were there to tell.
    """

    unit: str = ""
    half_width: float | None = None
    coverage: float = 0.0

    @classmethod
    def of(cls, task: TaskManifest) -> "Shipped":
        """Raises ValueError for what is none."""
        kept: dict[str, Any] = task.postprocessing
        unit, interval = kept.get("unit", ""), kept.get("interval")
        if not isinstance(unit, str):
            raise ValueError(f"unit is {unit!r}; expected a text")
        if interval is None:
            return cls(unit)
        try:
            half_width, coverage = float(interval["half_width"]), float(interval["coverage"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"interval is {interval!r}; expected half_width and coverage") from error
        if not half_width >= 0 or not 0 < coverage < 1:
            raise ValueError(f"interval is {interval!r}; expected a half_width from 0 and a coverage between 0 and 1")
        return cls(unit, half_width, coverage)


def decode(outputs: Tensors, placements: Sequence[Placement], task: TaskManifest, detail: Detail) -> list[Number]:
    """One Number for every row of the values."""
    del placements, detail
    shipped = Shipped.of(task)
    return [number(value, shipped) for value in outputs[VALUE][:, 0].tolist()]


def number(value: float, shipped: Shipped) -> Number:
    """With the bundle's unit and interval."""
    half = shipped.half_width
    interval = None if half is None else Interval(value - half, value + half, shipped.coverage)
    return Number(value, shipped.unit, interval)
