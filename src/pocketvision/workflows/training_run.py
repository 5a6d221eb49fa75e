"""One training run from its settings to its report: the order of things, and what is written where."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch

from pocketvision.atomic_files import replacing, write_json
from pocketvision.bundle import Bundle
from pocketvision.data.samples import Samples
from pocketvision.data.splits import write_split_csv
from pocketvision.errors import UsageError
from pocketvision.evaluation.classification_metrics import positive_index
from pocketvision.evaluation.evaluate import Evaluation
from pocketvision.evaluation.report.texts import texts
from pocketvision.models.network import Network, reset_classifier
from pocketvision.models.state_files import rows_as_metadata
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Interpolation, Preprocessing
from pocketvision.training.figures import EpochRecord
from pocketvision.training.precision import PRECISIONS, resolve_precision
from pocketvision.training.recipe import Recipe
from pocketvision.training.stage import StageState
from pocketvision.training.two_stage import TrainedStages, cut_for, train_two_stages
from pocketvision.workflows.feeding import make_inputs
from pocketvision.workflows.progress import EpochEnded, OnEvent
from pocketvision.workflows.reporting import evaluate_run, figures_by_set, write_run_report
from pocketvision.workflows.run_folder import RunFolder, RunSettings
from pocketvision.workflows.run_log import RunLog
from pocketvision.workflows.shipping import Shipped, ship, with_metrics
from pocketvision.workflows.training_data import TrainingData, prepare_data


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training gave. `evaluations` are of the bundle itself, first the validation split, then the test split if any.
    `interrupted`: Ctrl-C ended it early; the bundle is the best so far and the run can be resumed."""

    run: Path
    bundle: Bundle
    report: Path
    history: tuple[EpochRecord, ...]
    best: EpochRecord
    evaluations: tuple[Evaluation, ...]
    interrupted: bool
    seconds: float
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the last evaluation's figures (test if there is one, else validation) by name, and the rest."""
        return {
            "run": str(self.run),
            "bundle": str(self.bundle.folder),
            "report": str(self.report),
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "notes": list(self.notes),
            "best": asdict(self.best),
            "history": [asdict(record) for record in self.history],
            **self.evaluations[-1].to_dict(),
            "evaluations": {evaluation.name: evaluation.to_dict() for evaluation in self.evaluations},
        }


def run_training(
    run: RunFolder,
    settings: RunSettings,
    cache_folder: Path | None,
    on_event: OnEvent,
    further: Mapping[str, Samples] | None = None,
) -> TrainResult:
    """Do all that `settings` says in `run`; used by train, by its resumption and by the demo.

    further: more labelled images, untouched by the training, on which the bundle is measured too, by name.
    """
    started = time.perf_counter()
    # What "auto" means here is settled now: a resumed run goes on in the same numbers.
    recipe = replace(settings.recipe, precision=resolve_precision(settings.recipe.precision))
    settings, timings = replace(settings, recipe=recipe), dict[str, float]()
    log = RunLog(run.log, on_event)
    settings.write(run)
    data = prepare_data(
        Path(settings.data),
        recipe,
        labels=settings.labels,
        columns=settings.columns,
        images=settings.images,
        min_per_class=settings.min_per_class,
        log=log,
        on_event=on_event,
    )
    timings["audit"] = time.perf_counter() - started
    # What the end will need is asked for before the work: the positive class, the weights' class names, the report's language.
    positive_index(data.samples.class_names, settings.positive)
    data.loss_weights(recipe.class_weights)
    texts(settings.lang)
    settings = _same_data(run, settings, data)
    write_json(run.audit, data.audit.to_dict())
    write_split_csv(run.split, data.samples)
    network, preprocessing, origin = _start(recipe, len(data.samples.class_names), data.white_level, log)
    trained, timings["training"] = _fit(run, recipe, data, network, preprocessing, cache_folder, log)
    if trained.best is None:
        log.note(
            f"Interrupted before the first epoch was done; there is no bundle yet. Go on with --resume {run.folder}"
        )
        raise KeyboardInterrupt
    if trained.interrupted:
        log.note(f"Interrupted: the bundle holds the best weights so far. Go on with --resume {run.folder}")
    _write_stage_weights(run, network, trained)
    shipping = time.perf_counter()
    shipped = _ship(run, network, preprocessing, data)
    timings["export"] = time.perf_counter() - shipping
    evaluations = evaluate_run(shipped.bundle, data, recipe, settings.positive, further or {}, on_event)
    validation = evaluations[0]
    bundle = with_metrics(shipped.bundle, figures_by_set(evaluations), data.fingerprint(), validation.baseline("val"))
    timings["evaluation"] = sum(evaluation.seconds for evaluation in evaluations)
    timings["total"] = time.perf_counter() - started
    result = TrainResult(
        run.folder,
        bundle,
        run.report,
        tuple(trained.history),
        trained.best,
        tuple(evaluations),
        trained.interrupted,
        timings["total"],
        tuple(log.notes),
    )
    write_run_report(
        run,
        settings,
        data,
        result.history,
        trained.best,
        evaluations,
        bundle,
        timings,
        log.notes,
        weights_origin=origin,
    )
    _finish(run, settings, trained.interrupted)
    return result


def _same_data(run: RunFolder, settings: RunSettings, data: TrainingData) -> RunSettings:
    """Settings with the data's fingerprint. UsageError when a resumed run finds other data than it began with."""
    found = data.fingerprint()
    if settings.data_fingerprint not in ("", found):
        raise UsageError(
            f"The data in {settings.data} is not what {run.folder} was started on: images were added, removed or changed. "
            "Put the data back as it was, or start a new run."
        )
    settings = replace(settings, data_fingerprint=found)
    settings.write(run)
    return settings


def _start(recipe: Recipe, classes: int, white_level: int, log: RunLog) -> tuple[Network, Preprocessing, str]:
    """The pre-trained network with a new classifier, the same for the same seed; its weights' preprocessing and origin."""
    pretrained = load_pretrained(recipe.model, recipe.weights, weights_key=recipe.weights_key)
    if pretrained.note:
        log.note(pretrained.note)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        reset_classifier(pretrained.network, classes, recipe.dropout)
    interpolation = cast(Interpolation, recipe.interpolation)
    preprocessing = replace(pretrained.preprocessing, interpolation=interpolation, white_level=white_level)
    if recipe.size is not None:
        preprocessing = preprocessing.with_size(recipe.size)
    return pretrained.network.eval(), preprocessing, pretrained.origin


def _fit(
    run: RunFolder,
    recipe: Recipe,
    data: TrainingData,
    network: Network,
    preprocessing: Preprocessing,
    cache_folder: Path | None,
    log: RunLog,
) -> tuple[TrainedStages, float]:
    """Train, and tell how many seconds it took, the trunk cache included."""
    started = time.perf_counter()
    cut = cut_for(network, recipe.unfreeze)
    entries, validation = data.entries("train", recipe.balance_to, recipe.seed), data.entries("val")
    inputs = make_inputs(
        recipe,
        data,
        network,
        preprocessing,
        cut=cut,
        entries=entries,
        validation=validation,
        folder=run.cache if cache_folder is None else cache_folder,
        log=log,
    )
    epochs = {stage.number: stage.epochs for stage in recipe.stages()}

    def tell(state: StageState) -> None:
        record = state.history[-1]
        log(EpochEnded(record, epochs[record.stage], best=state.best_epoch == record.epoch))

    trained = train_two_stages(
        network,
        inputs,
        entries=entries,
        validation=validation,
        cut=cut,
        stages=recipe.stages(),
        class_weights=data.loss_weights(recipe.class_weights),
        seed=recipe.seed,
        precision=PRECISIONS[recipe.precision],
        name_of=lambda index: str(data.samples.file(index)),
        checkpoints=run.folder,
        on_epoch=tell,
        on_step=log,
    )
    return trained, time.perf_counter() - started


def _write_stage_weights(run: RunFolder, network: Network, trained: TrainedStages) -> None:
    """stageN/best.safetensors: what the stage learned, in its best epoch, under the names of the network's state."""
    for number, state in trained.states.items():
        weights = {name.removeprefix("network."): tensor.contiguous() for name, tensor in state.best_weights.items()}
        with replacing(run.stage_weights(number)) as temporary:
            temporary.write_bytes(safetensors.torch.save(weights, rows_as_metadata(network.architecture)))


def _ship(run: RunFolder, network: Network, preprocessing: Preprocessing, data: TrainingData) -> Shipped:
    indices = data.indices("val")

    def load(index: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return preprocessing(data.samples.file(int(indices[index])))

    return ship(
        network.to(memory_format=torch.contiguous_format),
        run.bundle,
        labels=data.samples.class_names,
        preprocessing=preprocessing,
        load=load,
        names=[data.samples.paths[index] for index in indices],
        truth=data.samples.labels[indices].astype(np.int64),
    )


def _finish(run: RunFolder, settings: RunSettings, interrupted: bool) -> None:
    """Mark the run; the trunk cache inside it is dropped once nothing will need it."""
    replace(settings, status="interrupted" if interrupted else "finished").write(run)
    if not interrupted:
        shutil.rmtree(run.cache, ignore_errors=True)
