"""How fast something answers on this machine: one image alone, and batches."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 32
ROUNDS = 5

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
    """Time every one of `runs` for `seconds` (ROUNDS calls at least), alone and then in batches.

    images: some inputs (N, ...), repeated to fill a batch. They take turns, so that what else the machine does slows all of them
    alike.
    """
    one, many = images[:1], np.resize(images, (batch, *images.shape[1:]))
    alone, batched = _durations(runs, one, seconds), _durations(runs, many, seconds)
    return {
        name: Latency(
            1e3 * statistics.median(alone[name]),
            1e3 * float(np.percentile(alone[name], 95)),
            batch / statistics.median(batched[name]),
        )
        for name in runs
    }


def _durations(runs: Mapping[str, Run], images: NDArray[Any], seconds: float) -> dict[str, list[float]]:
    """Of calls in ROUNDS blocks each, the blocks in turns; a block's first call is not counted.

    Blocks, not single calls: a runtime's threads go on spinning for a while after a call, on cores that the next one needs. Call
    by call in turns with nine others, a MobileNetV2 at 96 pixels took 1 ms in one session and 46 ms in the next.
    """
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            run(images)
            started = time.perf_counter()
            while True:
                before = time.perf_counter()
                run(images)
                now = time.perf_counter()
                found[name].append(now - before)
                if now - started >= seconds / ROUNDS:
                    break
    return found
