"""What a model says about an image's number. Numpy only; no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """From low to high, both in the number's unit; coverage: the share of images like those it was found on whose truth lies in
    it, in (0, 1)."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class Number:
    """value: in `unit`, which is empty where nobody named one. interval: None where the bundle ships none."""

    value: float
    unit: str = ""
    interval: Interval | None = None

    @property
    def kind(self) -> str:
        """The row of TASKS."""
        return "number"

    @property
    def confidence(self) -> None:
        """A number has none: its interval is as wide for every image."""
        return None

    @property
    def headline(self) -> str:
        """As in "31.2 years (27.5 to 34.9)"."""
        unit = f" {self.unit}" if self.unit else ""
        if self.interval is None:
            return f"{short(self.value)}{unit}"
        return f"{short(self.value)}{unit} ({short(self.interval.low)} to {short(self.interval.high)})"


def short(value: float) -> str:
    """A number in four significant digits, without an exponent up to millions."""
    return f"{value:.4g}" if not 1e4 <= abs(value) < 1e9 else f"{value:,.0f}"
