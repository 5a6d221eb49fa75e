"""Fixtures of the client's tests: a server in another process, and a clock that nobody waits for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from served import Start, starting

from pocketvision.bundle import Bundle
from pocketvision.client import Pace


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

    def pace(self, jitter: float = 0.5) -> Pace:
        """jitter: the share of each pause's upper bound that it takes."""
        return Pace(
            jitter=lambda most: jitter * most,
            clock=lambda: self.now,
            today=lambda: self.today,
            sleep=self.sleep,
            sleep_async=self.sleep_async,
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Start]:
    """Start `pocketvision serve` with further arguments; ended after the test."""
    with starting(tiny_bundle.folder, tmp_path) as starter:
        yield starter
