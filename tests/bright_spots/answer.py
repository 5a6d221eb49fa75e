"""The answer: spots with scores, the surest first."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spot:
    """x, y in pixels of the upright image; score in [0, 1]."""

    x: float
    y: float
    score: float


@dataclass(frozen=True)
class BrightSpots:
    """spots: none to many."""

    spots: tuple[Spot, ...]
    kind: str = "spots"

    @property
    def confidence(self) -> float | None:
        """The surest spot's score."""
        return self.spots[0].score if self.spots else None

    @property
    def headline(self) -> str:
        """As in "2 spots"."""
        return f"{len(self.spots)} spot{'' if len(self.spots) == 1 else 's'}" if self.spots else "no spots"
