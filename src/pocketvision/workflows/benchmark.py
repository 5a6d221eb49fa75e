"""benchmark: bundles and architectures by the clock of this machine, in fair turns; beside an earlier run."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.benchmarking.against import Change, changes, read_earlier
from pocketvision.benchmarking.cold_start import cold_start
from pocketvision.benchmarking.contenders import contenders, wanted_of
from pocketvision.benchmarking.figures import Benchmark
from pocketvision.benchmarking.machine import this_machine
from pocketvision.benchmarking.plot import write_benchmark_plot
from pocketvision.benchmarking.rounds import measured, opened
from pocketvision.benchmarking.settings import BenchmarkSettings
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.pareto import check_plot
from pocketvision.progress import Note, OnEvent, silent


@dataclass(frozen=True)
class BenchmarkResult:
    """What was measured, and what changed since an earlier run; none where none was given."""

    benchmark: Benchmark
    changes: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a later run takes them (`against`)."""
        return {**self.benchmark.to_dict(), "changes": [each.to_dict() for each in self.changes]}


def benchmark(
    models: Sequence[str | Path],
    settings: BenchmarkSettings = BenchmarkSettings(),  # noqa: B008 (frozen)
    *,
    width: Sequence[float] = (),
    size: Sequence[int] = (),
    against: str | Path | None = None,
    plot: str | Path | None = None,
    on_event: OnEvent = silent,
) -> BenchmarkResult:
    """Time bundles of any task and architectures (random weights: speed does not depend on them) in every runtime.

    The graph alone is timed, on drawn numbers: no decoding of files, no drawing of boxes. width, size: of architectures, each
    combination. against: the JSON of an earlier run on this very machine. plot: a .png or .svg.
    Raises UsageError, BundleError, and MissingExtraError.
    """
    names, machine = [str(each) for each in models], this_machine()
    wanted = wanted_of(names, width, size)
    earlier = None if against is None else read_earlier(Path(against), machine)
    if plot is not None:
        check_plot(Path(plot))
    with tempfile.TemporaryDirectory() as folder:
        entered = list(contenders(wanted, Path(folder)))
        candidates, failed = opened(entered, settings)
        for where, why in failed.items():
            on_event(Note(f"Not measured: {where}: {why}"))
        if not candidates:
            raise PocketVisionError(f"Nothing could be opened: {'; '.join(failed.values())}")
        timings = measured(candidates, settings, lambda done, total: on_event(Note(f"Turn {done} of {total}")))
        cold = [
            cold_start(each.contender, each.name, each.threads, max(settings.batches))
            for each in candidates
            if settings.cold
        ]
    found = Benchmark(machine, tuple(timings), tuple(cold), failed, settings.seconds)
    if plot is not None:
        write_benchmark_plot(Path(plot), found)
    differences = () if earlier is None else tuple(changes(found, earlier, Path(str(against))))
    return BenchmarkResult(found, differences)
