"""Fixtures of the client's tests: a server in another process, and a clock that nobody waits for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Start, starting
from stopped_clock import Clock

from pocketvision.bundle import Bundle


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Start]:
    """Start `pocketvision serve` with further arguments; ended after the test."""
    with starting(tiny_bundle.folder, tmp_path) as starter:
        yield starter
