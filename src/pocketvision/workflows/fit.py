"""fit: the most accurate bundle within a budget of milliseconds, bytes and accuracy, searched for in trials."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.atomic_files import write_json
from pocketvision.bundle import GOLDEN, Bundle, read_bundle, rewrite_bundle, write_bundle
from pocketvision.compression.budget import Budget
from pocketvision.compression.trial_settings import TrialSettings
from pocketvision.compression.trials import KINDS, Trial, search_space, smaller_networks
from pocketvision.errors import MissingExtraError, PocketVisionError, UsageError, unknown_name
from pocketvision.evaluation.latency import Latency, measure_latency
from pocketvision.evaluation.pareto import PlotPoint, check_plot, pareto_front, write_plot
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.catalog import architecture
from pocketvision.models.rebuild import rebuilt
from pocketvision.printable import counted
from pocketvision.runtime.backends import BACKENDS, Backend, answers_as_measured, open_backend
from pocketvision.tasks.classification.comparison import ClassComparison as Comparison
from pocketvision.tasks.classification.comparison import compare
from pocketvision.workflows.bundle_images import measuring_images, write_splits
from pocketvision.workflows.fit_trials import TrialRunner
from pocketvision.workflows.pretrained import open_bundle, output_folder
from pocketvision.workflows.progress import Note, OnEvent, silent

# What a bundle ships for; PyTorch's is there to train, and compiling takes longer than all the others together.
_BACKENDS = ("onnxruntime", "openvino")


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        # "rung" is what bundles have said since 0.1.
        return {**asdict(self), "rung": self.trial, "folder": str(self.folder)}


@dataclass(frozen=True)
class FitResult:
    """bundle: what was written, None when no trial is within the budget; `nearest` then misses it by the least. chosen: what
    the bundle holds. failed: trials that could not be made, and why. plot: a file. trials_folder: of all trials."""

    budget: Budget
    bundle: Bundle | None
    chosen: TrialResult | None
    nearest: TrialResult
    trials: tuple[TrialResult, ...]
    failed: dict[str, str]
    trials_folder: Path
    plot: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "budget": self.budget.to_dict(),
            "bundle": None if self.bundle is None else str(self.bundle.folder),
            "chosen": None if self.chosen is None else self.chosen.title,
            "nearest": self.nearest.title,
            "tried": [each.to_dict() for each in self.trials],
            "failed": self.failed,
            "steps": str(self.trials_folder),
            "plot": str(self.plot),
        }


def fit(
    bundle: str | Path,
    budget: Budget,
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    out: str | Path | None = None,
    kinds: Sequence[str] = tuple(KINDS),
    networks: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    everything: bool = False,
    settings: TrialSettings | None = None,
    plot: str | Path | None = None,
    seconds: float = 1.0,
    on_event: OnEvent = silent,
) -> FitResult:
    """Write the most accurate bundle within `budget` to `out` (None: the bundle's name with -fit).

    Trials (compression/trials.py) are made from the bundle, those that need no training first; the others, one after the other,
    only until something is within the budget, or all of them with `everything`. Each is run in every one of `backends` (None:
    ONNX Runtime and OpenVINO, as installed) on the validation split of `data` (None: of the run the bundle lies in), against the
    answers of the bundle as it is; training, tuning and calibration see the training split alone. At the end all are timed in
    turns. What was made lies in the folder `out`.steps, where the same command finds it again, also after it was interrupted.

    networks: smaller rows to train (None: by their published accuracy). plot: a .png or .svg (None: in the trials' folder).
    Raises UsageError (a quantized bundle, no data, a budget that `kinds` can not reach), BundleError, MissingExtraError.
    """
    read = open_bundle(bundle)
    rebuilt(read)  # a bundle without weights is refused before the work
    names = _backends(backends)
    if not any(BACKENDS[name].file(read) for name in names):
        raise UsageError(f"{read.folder} has no file that {' or '.join(names)} runs; `pocketvision export` adds files.")
    folder = output_folder(bundle, read, out, "-fit")
    trials_folder = folder.parent / f"{folder.name}.steps"
    picture = trials_folder / "plot.png" if plot is None else Path(plot)
    check_plot(picture)
    kinds = [kind for kind in kinds if kind != "int8" or _method(names)]
    space = _search_space(read, budget, kinds, networks, names)
    table = trials_folder / "images.csv"
    write_splits(read, data, table, on_event, images)
    validation = measuring_images(read, table, on_event)
    settings = replace(settings or TrialSettings(), max_accuracy_drop=budget.max_accuracy_drop)
    runner = TrialRunner(read, trials_folder, table, validation, settings, _method(names), on_event)
    study = _Study(runner, budget, names, validation.truth, seconds, on_event)
    found = study.run(space, everything=everything)
    chosen = min((each for each in found if not each.misses), key=_most_accurate_first, default=None)
    nearest = chosen or min(found, key=lambda each: sum(each.misses.values()))
    written = None if chosen is None else _write(chosen, folder, budget, found, study.failed)
    result = FitResult(budget, written, chosen, nearest, tuple(found), study.failed, trials_folder, picture)
    write_json(trials_folder / "fit.json", result.to_dict())
    _plot(result)
    return result


def _backends(given: Sequence[str] | None) -> list[str]:
    if given is None:
        return [name for name in _BACKENDS if BACKENDS[name].installed]
    for name in given:
        if name not in BACKENDS:
            raise unknown_name("backend", name, BACKENDS)
        if not BACKENDS[name].installed:
            raise MissingExtraError(f"The backend {name}", BACKENDS[name].extra)
    return list(dict.fromkeys(given))


def _method(backends: Sequence[str]) -> str:
    """How 8 bits are made for these backends, in quantize's words; empty where none of them runs such files."""
    return "auto" if "onnxruntime" in backends else "openvino" if "openvino" in backends else ""


def _search_space(
    bundle: Bundle, budget: Budget, kinds: Sequence[str], networks: Sequence[str] | None, backends: Sequence[str]
) -> list[list[Trial]]:
    spec, size = spec_from_dict(bundle.manifest.architecture), bundle.preprocessing.height
    if networks is None:
        networks = smaller_networks(spec, size) if "network" in kinds else []
    for name in networks:
        architecture(name)  # an unknown name is an error
    space = search_space(spec, size, networks, kinds)
    if budget.bytes is not None and not {"int8", "pruning", "network"} & set(kinds):
        sizes = [_bytes(bundle, name) for name in backends if BACKENDS[name].file(bundle)]
        if sizes and budget.bytes < min(sizes):
            raise UsageError(
                f"--size is {budget.bytes / 1e6:.2f} MB, the bundle's graph has {min(sizes) / 1e6:.2f} MB, and nothing of "
                f"--try {','.join(kinds)} makes it smaller: add int8, pruning or network."
            )
    return space


class _Study:
    """Runs the trials and evaluates what they make."""

    def __init__(
        self,
        runner: TrialRunner,
        budget: Budget,
        backends: list[str],
        truth: NDArray[np.int64] | None,
        seconds: float,
        on_event: OnEvent,
    ) -> None:
        self._runner, self._budget, self._backends, self._truth = runner, budget, backends, truth
        self._seconds, self._on_event = seconds, on_event
        self._made: dict[tuple[str, str], tuple[Bundle, Comparison]] = {}
        self._reference: NDArray[np.float32] | None = None
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
        except PocketVisionError as error:
            if self._reference is None:  # the bundle that was given itself
                raise
            self.failed[trial.name] = str(error)
            self._on_event(Note(f"{trial.name} failed: {error}"))
            return
        if self._reference is None:
            self._reference = next(iter(answers.values()))
        for backend, probabilities in answers.items():
            self._made[trial.name, backend] = bundle, compare(self._reference, probabilities, self._truth)

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
        size = _bytes(bundle, backend)
        misses = self._budget.misses(latency_ms=latency.latency_ms, bytes=size, drop=comparison.drop or 0.0)
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


def _bytes(bundle: Bundle, backend: str) -> int:
    """Of the graph that the backend reads, OpenVINO's weights beside it included."""
    name = BACKENDS[backend].file(bundle)
    graph = next((each.files for each in bundle.manifest.graphs if name in each.files), (name,))
    return sum(bundle.manifest.files[file].size for file in graph if file is not None)


def _costs(trial: TrialResult) -> tuple[float, float, float]:
    return (trial.latency.latency_ms, trial.bytes, trial.comparison.drop or 0.0)


def _most_accurate_first(trial: TrialResult) -> tuple[float, float]:
    """The most accurate first; of equals the fastest."""
    return (trial.comparison.drop or 0.0, trial.latency.latency_ms)


def _write(
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


def _plot(result: FitResult) -> None:
    points = [
        PlotPoint(
            each.title,
            each.latency.latency_ms,
            100 * (each.comparison.accuracy or 0.0),
            each.best_of_its_cost,
            each is result.chosen,
        )
        for each in result.trials
    ]
    write_plot(
        result.plot, points, cost="milliseconds of one image", accuracy="accuracy, %", limit=result.budget.latency_ms
    )
