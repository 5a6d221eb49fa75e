"""When a training with --minutes must have ended. Loads no torch: the command line notes when it was called."""

import math
import time
from dataclasses import dataclass, field

from pocketvision.errors import UsageError

MOST_MINUTES = 100_000.0


@dataclass(frozen=True)
class Deadline:
    """minutes: above 0, at most MOST_MINUTES; else a UsageError. began: of the clock that time.perf_counter reads."""

    minutes: float
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        number = isinstance(self.minutes, int | float) and not isinstance(self.minutes, bool)
        if not number or not math.isfinite(self.minutes) or not 0 < self.minutes <= MOST_MINUTES:
            raise UsageError(
                f"--minutes is {self.minutes}; expected a number above 0 and at most {MOST_MINUTES:,.0f}, such as 5."
            )

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.minutes * 60

    @property
    def used(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began
