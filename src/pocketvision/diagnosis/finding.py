"""What was found of one question about a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["fine", "look", "problem", "unknown"]
"""Nothing to do; worth a look; costs accuracy or time; could not be told, and the evidence says why."""

LEVELS: tuple[Level, ...] = ("problem", "look", "fine", "unknown")


@dataclass(frozen=True)
class Finding:
    """about: the question, such as "overfitting". evidence: what was measured, with numbers. step: the one thing to do next,
    empty where nothing is to be done. figures: the numbers by name."""

    about: str
    level: Level
    evidence: str
    step: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Problems, what to look at, what is fine, and what could not be told, each in the order they were looked for."""
    return sorted(findings, key=lambda each: LEVELS.index(each.level))
