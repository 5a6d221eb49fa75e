"""fit: the most accurate bundle within a budget of milliseconds, bytes and accuracy, searched for in trials."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import write_json
from pocketvision.bundle import Bundle
from pocketvision.compression.budget import Budget
from pocketvision.compression.bundle_images import measuring_images, write_splits
from pocketvision.compression.fit_trials import TrialRunner, Verbs
from pocketvision.compression.loss_weights import loss_weights_of
from pocketvision.compression.study import Study, TrialResult, graph_bytes, most_accurate_first, write_chosen
from pocketvision.compression.trial_settings import TrialSettings
from pocketvision.compression.trials import KINDS, Trial, search_space, smaller_networks
from pocketvision.errors import MissingExtraError, UsageError, unknown_name
from pocketvision.evaluation.pareto import PlotPoint, check_plot, write_plot
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.catalog import architecture
from pocketvision.models.rebuild import rebuilt
from pocketvision.progress import OnEvent, silent
from pocketvision.runtime.backends import BACKENDS
from pocketvision.workflows.pretrained import open_bundle, output_folder
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.train import train

# What a bundle ships for; PyTorch's is there to train, and compiling takes longer than all the others together.
_BACKENDS = ("onnxruntime", "openvino")


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
    budget.check_tasks(read.tasks)
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
    settings = replace(
        settings or TrialSettings(),
        max_accuracy_drop=budget.loosest(read.tasks),
        loss_weights=loss_weights_of(read, budget.weights, validation.truth),
    )
    runner = TrialRunner(
        read, trials_folder, table, validation, settings, _method(names), Verbs(quantize, prune, train), on_event
    )
    study = Study(runner, budget, names, validation, seconds, on_event)
    found = study.run(space, everything=everything)
    chosen = min((each for each in found if not each.misses), key=most_accurate_first, default=None)
    nearest = chosen or min(found, key=lambda each: sum(each.misses.values()))
    written = None if chosen is None else write_chosen(chosen, folder, budget, found, study.failed)
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
        sizes = [graph_bytes(bundle, name) for name in backends if BACKENDS[name].file(bundle)]
        if sizes and budget.bytes < min(sizes):
            raise UsageError(
                f"--size is {budget.bytes / 1e6:.2f} MB, the bundle's graph has {min(sizes) / 1e6:.2f} MB, and nothing of "
                f"--try {','.join(kinds)} makes it smaller: add int8, pruning or network."
            )
    return space


def _plot(result: FitResult) -> None:
    points = [
        PlotPoint(
            each.title,
            each.latency.latency_ms,
            100 * (0.0 if each.comparison.headline is None else each.comparison.headline.value),
            each.best_of_its_cost,
            each is result.chosen,
        )
        for each in result.trials
    ]
    value = f"{result.nearest.figure}, %"
    write_plot(result.plot, points, cost="milliseconds of one image", value=value, limit=result.budget.latency_ms)
