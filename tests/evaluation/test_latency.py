"""Latency by a clock of the test's own: what is counted, what is not, and in which order."""

from collections.abc import Callable
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.evaluation import latency
from pocketvision.evaluation.latency import BATCH, ROUNDS, measure_latency

IMAGES = np.arange(3 * 2, dtype=np.float32).reshape(3, 2)


class Clock:
    """Stands still but for what runs take, in seconds. `calls` tells who ran on what."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[str, NDArray[np.float32]]] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, seconds: Callable[[int, int], float]) -> Callable[[NDArray[np.float32]], object]:
        """A run that takes seconds(images, how many calls it had before)."""

        def run(images: NDArray[np.float32]) -> None:
            self.now += seconds(len(images), self.count(name))
            self.calls.append((name, images))

        return run

    def count(self, name: str) -> int:
        return sum(each == name for each, _ in self.calls)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=clock))
    return clock


def test_figures_are_those_of_the_clock(clock: Clock) -> None:
    runs = {
        "fast": clock.run("fast", lambda images, _: images / 64),
        "slow": clock.run("slow", lambda images, _: 2 + images / 16),
    }
    found = measure_latency(runs, IMAGES, seconds=0)
    assert list(found) == ["fast", "slow"]
    assert found["fast"].latency_ms == found["fast"].latency_p95_ms == 1000 / 64
    assert found["fast"].images_per_second == 64
    assert found["slow"].latency_ms == 1000 * (2 + 1 / 16)
    assert found["slow"].images_per_second == BATCH / 4


def test_rare_delays_show_in_the_95th_percentile_alone(clock: Clock) -> None:
    """One call in ten takes ten times as long."""
    run = clock.run("run", lambda images, calls: images / (6.4 if calls % 10 == 5 else 64))
    found = measure_latency({"run": run}, IMAGES, seconds=20)["run"]
    assert found.latency_ms == pytest.approx(1000 / 64)
    assert found.latency_p95_ms == pytest.approx(10_000 / 64)
    assert found.images_per_second == pytest.approx(64)


def test_the_first_call_of_all_is_not_counted(clock: Clock) -> None:
    """It compiles, or loads."""
    run = clock.run("run", lambda images, calls: 100.0 if calls == 0 else images / 64)
    assert measure_latency({"run": run}, IMAGES, seconds=0)["run"].latency_p95_ms == 1000 / 64


def test_runs_take_turns(clock: Clock) -> None:
    runs = {name: clock.run(name, lambda images, _: images / 64) for name in "abc"}
    measure_latency(runs, IMAGES, seconds=1)
    turns = [(name, size) for (name, size), _ in groupby((name, len(images)) for name, images in clock.calls)]
    assert turns == [*[(name, 1) for name in "abc"] * ROUNDS, *[(name, BATCH) for name in "abc"] * ROUNDS]


def test_each_runs_for_the_seconds_and_ROUNDS_times_at_least(clock: Clock) -> None:  # noqa: N802
    """0.64 s are 8 calls of 1/64 s a round, and one before that does not count; a batch takes half a second by itself."""
    runs = {name: clock.run(name, lambda images, _: images / 64) for name in "ab"}
    measure_latency(runs, IMAGES, seconds=ROUNDS / 8)
    sizes = {name: [len(images) for each, images in clock.calls if each == name] for name in "ab"}
    for found in sizes.values():
        assert found.count(1) == ROUNDS * (8 + 1)
        assert found.count(BATCH) == ROUNDS * (1 + 1)


def test_a_batch_repeats_the_images(clock: Clock) -> None:
    measure_latency({"run": clock.run("run", lambda *_: 1.0)}, IMAGES, seconds=0, batch=7)
    alone, batch = clock.calls[0][1], clock.calls[-1][1]
    assert np.array_equal(alone, IMAGES[:1])
    assert batch.shape == (7, 2) and np.array_equal(batch, IMAGES[[0, 1, 2, 0, 1, 2, 0]])


def test_bytes_stay_bytes(clock: Clock) -> None:
    """Whole images go through it too, (1, height, width, 3) uint8."""
    image = np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3), np.uint8)
    measure_latency({"run": clock.run("run", lambda *_: 1.0)}, image, seconds=0)  # type: ignore[arg-type]
    assert {(images.dtype, images.shape) for _, images in clock.calls} == {
        (np.dtype(np.uint8), (1, 4, 5, 3)),
        (np.dtype(np.uint8), (BATCH, 4, 5, 3)),
    }
    assert all(np.array_equal(each, image[0]) for each in clock.calls[-1][1])
