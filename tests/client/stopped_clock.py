"""Time for tests that nobody waits for."""

from dataclasses import dataclass, field

from pocketvision.client import Backoff


@dataclass
class Clock:
    """Time that passes only by sleeping. pauses: how long each sleep was."""

    now: float = 1000.0
    today: float = 1_700_000_000.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

    def backoff(self, jitter: float = 0.5) -> Backoff:
        """jitter: the share of each pause's upper bound that it takes."""
        return Backoff(
            jitter=lambda most: jitter * most,
            clock=lambda: self.now,
            today=lambda: self.today,
            sleep=self.sleep,
            sleep_async=self.sleep_async,
        )
