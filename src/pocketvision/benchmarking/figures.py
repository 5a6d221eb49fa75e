"""What a benchmark found."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.benchmarking.machine import Machine

FORMAT_VERSION = 1
SINGLE_STREAM, OFFLINE = "SingleStream", "Offline"
OFFICIAL_SECONDS, OFFICIAL_QUERIES = 60, 1024
"""An official SingleStream run lasts that long and asks so often at least (Reddi et al. 2020, MLPerf Inference Benchmark,
https://arxiv.org/abs/1911.02549, section III)."""


@dataclass(frozen=True)
class Timing:
    """A model in a runtime, on so many threads and images at once: milliseconds of a call, and images a second of all calls
    together. rounds: the median of each turn, which tells the machine's moods from a difference."""

    model: str
    size: str
    backend: str
    threads: int
    batch: int
    calls: int
    mean: float
    sd: float
    p50: float
    p90: float
    p95: float
    p99: float
    images_per_second: float
    rounds: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What it is compared by."""
        return self.model, self.size, self.backend, self.threads, self.batch


def timing_of(key: tuple[str, str, str, int, int], rounds: list[NDArray[np.float64]]) -> Timing:
    """From seconds of each call, by turns."""
    calls = 1e3 * np.concatenate(rounds)
    p50, p90, p95, p99 = np.percentile(calls, (50, 90, 95, 99)).tolist()
    return Timing(
        *key,
        calls=len(calls),
        mean=float(calls.mean()),
        sd=float(calls.std(ddof=1)) if len(calls) > 1 else 0.0,
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        images_per_second=key[-1] * len(calls) / float(calls.sum()) * 1e3,
        rounds=tuple(float(1e3 * np.median(each)) for each in rounds),
    )


@dataclass(frozen=True)
class ColdStart:
    """A model in a runtime in a new process: milliseconds from opening it to the first answer, the runtime's import included; the
    most memory the process held then (megabytes), and after a batch of the largest size that was measured."""

    model: str
    size: str
    backend: str
    threads: int
    first_answer: float
    memory_of_one: float
    peak_memory: float
    file_megabytes: float


@dataclass(frozen=True)
class Scenario:
    """One of MLPerf Inference's. SingleStream: one image after the other, each asked when the last was answered; its figure is
    the 90th percentile of the latency in milliseconds. Offline: all images are there from the beginning; its figure is images a
    second, of the batch that gives most."""

    name: str
    model: str
    size: str
    backend: str
    threads: int
    batch: int
    value: float
    unit: str
    official: bool


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured, and where."""

    machine: Machine
    timings: tuple[Timing, ...]
    cold: tuple[ColdStart, ...]
    failed: dict[str, str]
    seconds: float

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Of every model, runtime and number of threads that has what they take."""
        found = []
        for each in self.timings:
            if each.batch == 1:
                official = each.calls >= OFFICIAL_QUERIES and self.seconds >= OFFICIAL_SECONDS
                found.append(Scenario(SINGLE_STREAM, *each.key, each.p90, "ms", official))
        by_place: dict[tuple[str, str, str, int], list[Timing]] = {}
        for each in self.timings:
            by_place.setdefault(each.key[:4], []).append(each)
        for own in by_place.values():
            best = max(own, key=lambda one: one.images_per_second)
            official = self.seconds >= OFFICIAL_SECONDS and best.batch * best.calls >= 24_576
            found.append(Scenario(OFFLINE, *best.key, best.images_per_second, "images/s", official))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "machine": self.machine.to_dict(),
            "seconds": self.seconds,
            "timings": [asdict(each) for each in self.timings],
            "cold": [asdict(each) for each in self.cold],
            "scenarios": [asdict(each) for each in self.scenarios],
            "failed": self.failed,
        }
