"""The trials of `fit`: made, compared, timed in turns, and the chosen one written."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import GOLDEN, Bundle, read_bundle, rewrite_bundle, write_bundle
from pocketvision.compression.budget import Budget
from pocketvision.compression.bundle_images import BundleImages
from pocketvision.compression.fit_trials import TrialRunner
from pocketvision.compression.trials import Trial
from pocketvision.compression.variant import answered_with
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.latency import Latency, measure_latency
from pocketvision.evaluation.pareto import pareto_front
from pocketvision.preprocessing import Preprocessing
from pocketvision.printable import counted
from pocketvision.progress import Note, OnEvent
from pocketvision.runtime.backends import BACKENDS, Backend, answers_as_measured, open_backend
from pocketvision.runtime.batches import Outputs
from pocketvision.tasks.comparing import Records, compare_tasks, lost_points
from pocketvision.tasks.measuring import Comparison


@dataclass(frozen=True)
class TrialResult:
    """A trial's bundle in one backend: bytes of the files that it reads, its answers beside those of the bundle that was given,
    its speed here, by which factors (and points) it misses the budget; best_of_its_cost: no other beats it in all three."""

    trial: str
    backend: str
    folder: Path
    bytes: int
    comparison: Comparison
    latency: Latency
    misses: dict[str, float]
    best_of_its_cost: bool = False

    @property
    def title(self) -> str:
        """The trial and the backend."""
        return f"{self.trial}, {self.backend}"

    @property
    def figure(self) -> str:
        """What is compared, by its name."""
        headline = self.comparison.headline
        return "figure" if headline is None else headline.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        # "rung" is what bundles have said since 0.1.
        plain = asdict(replace(self, comparison=cast(Any, None)))
        return {**plain, "comparison": self.comparison.to_dict(), "rung": self.trial, "folder": str(self.folder)}


class Study:
    """Runs the trials and evaluates what they make."""

    def __init__(
        self,
        runner: TrialRunner,
        budget: Budget,
        backends: list[str],
        images: BundleImages,
        seconds: float,
        on_event: OnEvent,
    ) -> None:
        self._runner, self._budget, self._backends, self._images = runner, budget, backends, images
        self._seconds, self._on_event = seconds, on_event
        self._made: dict[tuple[str, str], tuple[Bundle, Comparison]] = {}
        self._reference: Records | None = None
        # By preprocessing: where images lie in their inputs is found once for all trials of one.
        self._sized: dict[Preprocessing, BundleImages] = {}
        self.failed: dict[str, str] = {}

    def run(self, space: list[list[Trial]], *, everything: bool) -> list[TrialResult]:
        """All results, timed together after each group, the last time for good."""
        found: list[TrialResult] = []
        for group in space:
            before = len(self._made)
            for trial in group:
                self._try(trial)
            if len(self._made) > before:
                found = self._timed()
            if not everything and any(not each.misses for each in found):
                break
        return found

    def _try(self, trial: Trial) -> None:
        """Make a trial's bundle and compare its answers; what can not be made is noted, and the study goes on."""
        if trial.of in self.failed:
            self.failed[trial.name] = f"{trial.of} could not be made."
            return
        try:
            bundle = self._runner.bundle(trial)
            answers = self._runner.answers(bundle, [name for name in self._backends if BACKENDS[name].file(bundle)])
            records = {backend: self._records(bundle, outputs) for backend, outputs in answers.items()}
        except PocketVisionError as error:
            if self._reference is None:  # the bundle that was given itself
                raise
            self.failed[trial.name] = str(error)
            self._on_event(Note(f"{trial.name} failed: {error}"))
            return
        if self._reference is None:
            self._reference = next(iter(records.values()))
        for backend, own in records.items():
            compared = compare_tasks(bundle.tasks, self._reference, own, weights=self._budget.weights)
            self._made[trial.name, backend] = bundle, compared

    def _records(self, bundle: Bundle, outputs: Outputs) -> Records:
        size = bundle.preprocessing
        if size not in self._sized:
            self._sized[size] = replace(self._images, preprocessing=size)
        images = self._sized[size]
        return answered_with(bundle.tasks, outputs, images.placements, images.truth).records

    def _timed(self) -> list[TrialResult]:
        self._on_event(Note(f"Timing {counted(len(self._made), 'candidate')} in turns"))
        inputs = _Inputs()
        runs = {
            f"{trial}, {backend}": inputs.feeding(open_backend(bundle, backend))
            for (trial, backend), (bundle, _) in self._made.items()
        }
        latencies = measure_latency(runs, np.zeros((1, 0), np.float32), seconds=self._seconds)
        found = [
            self._result(trial, backend, latencies[f"{trial}, {backend}"], *made)
            for (trial, backend), made in self._made.items()
        ]
        front = pareto_front({each.title: _costs(each) for each in found})
        return [replace(each, best_of_its_cost=each.title in front) for each in found]

    def _result(
        self, trial: str, backend: str, latency: Latency, bundle: Bundle, comparison: Comparison
    ) -> TrialResult:
        size = graph_bytes(bundle, backend)
        misses = self._budget.misses(latency_ms=latency.latency_ms, bytes=size, drop=lost_points(comparison))
        return TrialResult(trial, backend, bundle.folder, size, comparison, latency, misses)


class _Inputs:
    """Inputs for timing, shared by the backends of one input size."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def feeding(self, backend: Backend) -> Callable[[NDArray[np.float32]], object]:
        """Runs the backend on as many images of its own size as it is handed of any."""

        def run(images: NDArray[np.float32]) -> object:
            shape = (len(images), 3, *backend.size)
            if shape not in self._arrays:
                self._arrays[shape] = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
            return backend.run(self._arrays[shape])

        return run


def graph_bytes(bundle: Bundle, backend: str) -> int:
    """Of the graph that the backend reads, OpenVINO's weights beside it included."""
    name = BACKENDS[backend].file(bundle)
    graph = next((each.files for each in bundle.manifest.graphs if name in each.files), (name,))
    return sum(bundle.manifest.files[file].size for file in graph if file is not None)


def _costs(trial: TrialResult) -> tuple[float, float, float]:
    return (trial.latency.latency_ms, trial.bytes, lost_points(trial.comparison))


def most_accurate_first(trial: TrialResult) -> tuple[float, float]:
    """The most accurate first; of equals the fastest."""
    return (lost_points(trial.comparison), trial.latency.latency_ms)


def write_chosen(
    chosen: TrialResult, folder: Path, budget: Budget, found: Sequence[TrialResult], failed: dict[str, str]
) -> Bundle:
    bundle = read_bundle(chosen.folder)
    record = {
        "budget": budget.to_dict(),
        "chosen": chosen.title,
        "failed": failed,
        "tried": [{name: value for name, value in each.to_dict().items() if name != "folder"} for each in found],
    }
    manifest = replace(
        bundle.manifest, backend=chosen.backend, compression={**bundle.manifest.compression, "fit": record}
    )
    if answers_as_measured(bundle, chosen.backend):
        return rewrite_bundle(bundle, manifest, folder=folder)
    # Its golden answers become those of the runtime that it is fitted to.
    golden = bundle.golden()
    answers = open_backend(bundle, chosen.backend).run(golden["images"])
    kept: dict[str, Path | bytes] = {name: bundle.path(name) for name in bundle.manifest.files if name != GOLDEN}
    return write_bundle(folder, replace(manifest, files={}, versions={}), kept, golden["images"], answers)
