"""Who reads slowly is waited for, who reads nothing is cut; with a clock and a transport of the test's own."""

from collections.abc import Callable
from typing import Any

import pytest

from pocketvision.serving.write_timeout import SHUTDOWN_WRITE_TIMEOUT, WriteTimeout


class Handle:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    def __init__(self) -> None:
        self.now = 0.0
        self.handles: list[Handle] = []

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> Handle:
        self.handles.append(Handle(self.now + seconds, lambda: call(*arguments)))
        return self.handles[-1]

    def to(self, now: float) -> None:
        while due := [each for each in self.handles if not each.cancelled and each.when <= now]:
            first = min(due, key=lambda each: each.when)
            self.handles.remove(first)
            self.now = first.when
            first.call()
        self.now = now


class Transport:
    def __init__(self) -> None:
        self.holds, self.closing, self.aborted = 100_000, False, False

    def get_write_buffer_size(self) -> int:
        return self.holds

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def parts() -> tuple[Loop, Transport, WriteTimeout]:
    loop, transport = Loop(), Transport()
    return loop, transport, WriteTimeout(loop, transport, 20.0)  # type: ignore[arg-type]


def test_who_reads_slowly_is_waited_for_and_who_reads_nothing_is_cut(
    parts: tuple[Loop, Transport, WriteTimeout],
) -> None:
    loop, transport, stalled = parts
    stalled.start()
    for step in range(1, 5):
        loop.to(20.0 * step - 1)
        transport.holds -= 1000
        loop.to(20.0 * step)
        assert not transport.aborted
    loop.to(99.0)
    assert not transport.aborted
    loop.to(100.0)
    assert transport.aborted


def test_who_reads_in_time_is_left_alone(parts: tuple[Loop, Transport, WriteTimeout]) -> None:
    loop, transport, stalled = parts
    stalled.start()
    loop.to(19.0)
    stalled.cancel()
    loop.to(1000.0)
    stalled.start_closing()
    stalled.cancel_all()
    loop.to(2000.0)
    assert not transport.aborted


@pytest.mark.parametrize("closing", [False, True])
def test_a_stopping_server_waits_for_nobody_for_long(
    parts: tuple[Loop, Transport, WriteTimeout], closing: bool
) -> None:
    loop, transport, stalled = parts
    if closing:
        transport.closing = True
        stalled.start_closing()
    else:
        stalled.start()
    loop.to(5.0)
    stalled.shorten()
    transport.holds -= 1
    loop.to(5.0 + SHUTDOWN_WRITE_TIMEOUT)
    assert transport.aborted
