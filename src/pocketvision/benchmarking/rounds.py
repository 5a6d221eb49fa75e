"""The turns: every model, runtime, number of threads and batch gets a share of the time in each round."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.benchmarking.contenders import Contender
from pocketvision.benchmarking.figures import Timing, timing_of
from pocketvision.benchmarking.settings import BenchmarkSettings
from pocketvision.errors import PocketVisionError
from pocketvision.runtime.backends import BACKENDS, Backend, open_backend

ROUNDS, FEWEST = 5, 3
"""Turns, and calls in each at least. What else the machine does for a while then slows all of them alike, and differences between
turns show it."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A model in a runtime, ready to run."""

    contender: Contender
    name: str
    threads: int
    backend: Backend


def backends_of(contender: Contender, settings: BenchmarkSettings) -> list[str]:
    """The runtimes that a contender is measured in."""
    if settings.backends:
        return list(settings.backends)
    return [
        name
        for name, row in BACKENDS.items()
        if row.installed and row.file(contender.bundle) and name != "torch-compiled"
    ]


def opened(contenders: Sequence[Contender], settings: BenchmarkSettings) -> tuple[list[Opened], dict[str, str]]:
    """What could be opened, and why the others could not, by "model, runtime". One that was asked for by name has to open."""
    found, failed = list[Opened](), dict[str, str]()
    for contender in contenders:
        for name in backends_of(contender, settings):
            for threads in settings.threads_measured:
                try:
                    backend = open_backend(contender.bundle, name, threads=threads)
                except (PocketVisionError, RuntimeError, OSError) as error:
                    if settings.backends:
                        raise
                    failed[f"{contender.name}, {name}"] = str(error)
                    continue
                found.append(Opened(contender, name, threads, backend))
    return found, failed


def measured(
    candidates: Sequence[Opened], settings: BenchmarkSettings, on_round: Callable[[int, int], None] = lambda *_: None
) -> list[Timing]:
    """Time every candidate at every batch for the settings' seconds, in ROUNDS turns; the first call of a turn is not counted.
    on_round: told of the turns done, and of all."""
    cells = [(each, batch) for each in candidates for batch in settings.batches]
    durations: list[list[NDArray[np.float64]]] = [[] for _ in cells]
    random = np.random.default_rng(0)
    for done in range(ROUNDS):
        for (each, batch), kept in zip(cells, durations, strict=True):
            images = random.standard_normal((batch, 3, *each.backend.size), dtype=np.float32)
            kept.append(_turn(each, images, settings.seconds / ROUNDS))
        on_round(done + 1, ROUNDS)
    return [
        timing_of((each.contender.name, each.contender.size, each.name, each.threads, batch), kept)
        for (each, batch), kept in zip(cells, durations, strict=True)
    ]


def _turn(candidate: Opened, images: NDArray[np.float32], seconds: float) -> NDArray[np.float64]:
    """Seconds of each call."""
    if candidate.name.startswith("torch"):
        import torch

        torch.set_num_threads(candidate.threads)  # the process's, which others changed
    candidate.backend.run(images)
    found, began = list[float](), time.perf_counter()
    while len(found) < FEWEST or time.perf_counter() - began < seconds:
        before = time.perf_counter()
        candidate.backend.run(images)
        found.append(time.perf_counter() - before)
    return np.array(found)
