"""How fast something answers on this machine: one image alone, and batches."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 32

Run = Callable[[NDArray[np.float32]], object]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one image alone (median and 95th percentile), and images a second in batches of BATCH."""

    latency_ms: float
    latency_p95_ms: float
    images_per_second: float


def measure_latency(
    runs: Mapping[str, Run], images: NDArray[np.float32], *, seconds: float = 1.0, batch: int = BATCH
) -> dict[str, Latency]:
    """Time every one of `runs` in turn for `seconds` (three calls at least), alone and then in batches.

    images: some inputs (N, ...), repeated to fill a batch. They take turns call by call, so that what else the machine does slows
    all of them alike.
    """
    one, many = images[:1], np.resize(images, (batch, *images.shape[1:]))
    alone, batched = _durations(runs, one, seconds), _durations(runs, many, seconds)
    return {
        name: Latency(
            1e3 * statistics.median(alone[name]), 1e3 * float(np.percentile(alone[name], 95)),
            batch / statistics.median(batched[name]),
        )
        for name in runs
    }  # fmt: skip


def _durations(runs: Mapping[str, Run], images: NDArray[Any], seconds: float) -> dict[str, list[float]]:
    """Of interleaved calls, after one of each that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(images)
    started = time.perf_counter()
    while min(map(len, found.values())) < 3 or time.perf_counter() - started < seconds * len(runs):
        for name, run in runs.items():
            before = time.perf_counter()
            run(images)
            found[name].append(time.perf_counter() - before)
    return found
