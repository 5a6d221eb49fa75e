"""Images whose number is far off, the worst first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.number.answer import short
from pocketvision.tasks.number.decode import Shipped
from pocketvision.tasks.number.record import NumberRecord, stacked


@dataclass(frozen=True)
class NumberMistake:
    """true and answered, in the unit."""

    path: str
    true: float
    answered: float
    unit: str = ""

    @property
    def text(self) -> str:
        """As in "31 years → 44.2"."""
        return f"{short(self.true)}{f' {self.unit}' if self.unit else ''} → {short(self.answered)}"

    @property
    def badness(self) -> float:
        """How far off, in the unit."""
        return abs(self.answered - self.true)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def mistakes(records: Sequence[NumberRecord], paths: Sequence[str], task: TaskManifest) -> list[NumberMistake]:
    """Those whose truth is outside the interval; where the bundle ships none, those further off than the root mean square
    error."""
    values, truth = stacked(records)
    assert truth is not None, "they have truth"
    shipped, errors = Shipped.of(task), np.abs(values - truth)
    least = float(np.sqrt((errors**2).mean())) if shipped.half_width is None else shipped.half_width
    found = [
        NumberMistake(paths[place], float(truth[place]), float(values[place]), shipped.unit)
        for place in np.flatnonzero(errors > least).tolist()
    ]
    return sorted(found, key=lambda each: -each.badness)
