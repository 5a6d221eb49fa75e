"""One way to quantize that was built: its settings, what they changed, and how fast it is."""

from dataclasses import asdict, dataclass
from typing import Any

from pocketvision.compression.settings import Settings
from pocketvision.evaluation.latency import Latency
from pocketvision.tasks.measuring import Comparison


@dataclass(frozen=True)
class Candidate:
    """Settings, what they changed, and how fast it is here (None where it was not timed); `bytes` of its files."""

    settings: Settings
    comparison: Comparison
    bytes: int
    latency: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "settings": self.settings.to_dict(),
            "comparison": self.comparison.to_dict(),
            "bytes": self.bytes,
            "latency": None if self.latency is None else asdict(self.latency),
            "title": self.settings.title,
        }
