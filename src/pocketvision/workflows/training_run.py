"""One training run from its settings to its report: the order of things, and what is written where."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.atomic_files import write_json
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.data.learned_from import FILE as LEARNED_FROM
from pocketvision.data.samples import Samples
from pocketvision.data.splits import write_split_csv
from pocketvision.errors import BundleError, PocketVisionError, UsageError
from pocketvision.evaluation.evaluation import Evaluation, untouched_first
from pocketvision.evaluation.near_twins import near_twins
from pocketvision.evaluation.report.texts import texts
from pocketvision.evaluation.run_figures import figures_by_task
from pocketvision.explain.kept_features import keep_features
from pocketvision.export.shipping import WRITTEN, Shipped, ship, with_metrics
from pocketvision.models.network import Network
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.progress import Counted, EpochRecord, Note, OnEvent
from pocketvision.tasks.classification.metrics import positive_index
from pocketvision.training.added_heads import Base, recipe_for
from pocketvision.training.best_epoch import best_of
from pocketvision.training.deadline import Deadline
from pocketvision.training.device import device_of
from pocketvision.training.fitting import fit_run
from pocketvision.training.learned_tasks import (
    augmentation,
    calibrated_on,
    closed_form,
    constant_answers,
    manifests,
    step_size,
)
from pocketvision.training.measured_precision import precision_of
from pocketvision.training.pace import Pace
from pocketvision.training.parts import Parts
from pocketvision.training.phases import TrainedPhases
from pocketvision.training.recorded_split import RecordedSplit, other_data
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.starting import as_data_asks, as_won, compared, start, with_others, write_stage_weights
from pocketvision.training.teachers import kept, teachers_of
from pocketvision.training.tiled_data import in_tiles, looked_at, sizes_of, viewed
from pocketvision.training.training_data import TrainingData, prepare_data
from pocketvision.workflows.pretrained import open_bundle
from pocketvision.workflows.reporting import decide_run, evaluate_run, wanted_of, write_run_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training gave.

    evaluations: of the bundle itself, first the validation split, then the test split if any. interrupted: Ctrl-C ended it early;
    the bundle is the best so far and the run can be resumed. unreported: why the report could not be written, None when it was;
    the bundle is whole all the same. unchanged: the run was finished already, and nothing was done; there are no evaluations
    then, the bundle has their figures.
    """

    run: Path
    bundle: Bundle
    report: Path
    history: tuple[EpochRecord, ...]
    best: EpochRecord
    evaluations: tuple[Evaluation, ...]
    interrupted: bool
    seconds: float
    notes: tuple[str, ...]
    unreported: str | None = None
    unchanged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the figures of the first evaluation on untouched images, or else of the first, by name, and the
        rest."""
        return {
            "run": str(self.run),
            "bundle": str(self.bundle.folder),
            "report": str(self.report),
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "notes": list(self.notes),
            "best": asdict(self.best),
            "history": [asdict(record) for record in self.history],
            "unreported": self.unreported,
            "unchanged": self.unchanged,
            **(untouched_first(self.evaluations)[0].to_dict() if self.evaluations else {}),
            "evaluations": {evaluation.name: evaluation.to_dict() for evaluation in self.evaluations},
        }


def run_training(
    run: RunFolder,
    settings: RunSettings,
    cache_folder: Path | None,
    on_event: OnEvent,
    further: Mapping[str, Samples] | None = None,
    deadline: Deadline | None = None,
    force: bool = False,
) -> TrainResult:
    """Do all that `settings` says in `run`; used by train, by its resumption and by the demo.

    further: more labelled images, untouched by the training, on which the bundle is measured too, by name. deadline: to plan for.
    force: a run that goes on may find other data than it began with.
    """
    started, pace = time.perf_counter(), Pace()
    log = RunLog(run.log, pace.before(on_event))
    base = None if settings.add_to is None else Base.of(open_bundle(settings.add_to))
    settings, data = prepared(run, settings, base, log, on_event, force)
    timings = {"audit": time.perf_counter() - started}
    network, preprocessing, origin = start(recipe := settings.recipe, data.learned, data.white_level, base, log)
    teachers = kept(run.folder, teachers_of(map(open_bundle, recipe.distillation.teachers), data.learned))
    ending = len(data.indices("test")) + sum(map(len, (further or {}).values()))
    fed = (network, preprocessing, cache_folder, log, teachers)
    trained, settings, timings["training"] = fit_run(
        run, settings, data, *fed, ending=ending, deadline=deadline, pace=pace
    )
    best = _best(run, trained, log)
    write_stage_weights(run, trained)
    if trained.network is not network:
        network, origin = trained.network, f"a random start, seed {recipe.seed}"
    if (text := compared(recipe, trained)) is not None:
        log.note(text)
    shipping = time.perf_counter()
    _keep_exports(run, log)
    shipped = _ship(run, settings, network, preprocessing, data, base, on_event).bundle
    timings["export"] = time.perf_counter() - shipping
    bundle = keep_features(run, shipped, trained, data, log)
    bundle, evaluations = _measured(bundle, settings, data, further or {}, base, log)
    timings["evaluation"] = sum(evaluation.seconds for evaluation in evaluations)
    timings["total"] = time.perf_counter() - started

    def report() -> None:
        history = tuple(trained.history)
        won = replace(settings, recipe=as_won(settings.recipe, trained))
        write_run_report(run, won, data, history, best, evaluations, bundle, timings, log.notes, weights_origin=origin)
        _finish(run, settings, trained.interrupted)

    unreported = _attempted(report, bundle, log)
    return TrainResult(
        run.folder,
        bundle,
        run.report,
        tuple(trained.history),
        best,
        tuple(evaluations),
        trained.interrupted,
        timings["total"],
        tuple(log.notes),
        unreported,
    )


def _best(run: RunFolder, trained: TrainedPhases, log: RunLog) -> EpochRecord:
    """The best epoch; where Ctrl-C ended the training it is said what there is, and KeyboardInterrupt where there is nothing."""
    if trained.best is None:
        log.note(
            f"Interrupted before the first epoch was done; there is no bundle yet. Go on with --resume {run.folder}"
        )
        raise KeyboardInterrupt
    if trained.interrupted:
        log.note(f"Interrupted: the bundle holds the best weights so far. Go on with --resume {run.folder}")
    return trained.best


def finished_run(run: RunFolder, on_event: OnEvent) -> TrainResult | None:
    """What a finished run left, all of it kept; None where a part of it is gone and has to be made again."""
    try:
        bundle = read_bundle(run.bundle)
        history = tuple(run.read_history())
    except (BundleError, UsageError):
        return None
    if not history or not run.report.is_file():
        return None
    text = (
        f"Nothing to do: {run.folder} is finished, and all in it is kept. --set phases.2.epochs=EPOCHS can give it more, where "
        "this version began it."
    )
    on_event(Note(text))
    best = best_of(history)
    return TrainResult(run.folder, bundle, run.report, history, best, (), False, 0.0, (text,), unchanged=True)


def prepared(
    run: RunFolder, settings: RunSettings, base: Base | None, log: RunLog, on_event: OnEvent, force: bool = False
) -> tuple[RunSettings, TrainingData]:
    """The settings and the data that the run is of, with what the end will need asked for before the work: the positive class,
    the weights' class names, the report's language."""
    # What "auto" means here is settled now: a resumed run goes on in the same numbers.
    recipe = changed(settings.recipe, {"precision": precision_of(settings.recipe)})
    if settings.minutes is not None and not device_of(recipe.device).startswith("cpu"):
        raise UsageError(f"--minutes plans by what the CPU takes; leave it out with --device {recipe.device}.")
    if base is not None:
        recipe = recipe_for(run, recipe, base.bundle)
    settings = replace(settings, recipe=recipe)
    if not run.settings.is_file():  # a run that goes on is written once its data is known to be the same
        settings.write(run)
    data = prepare_data(
        Path(settings.data),
        recipe,
        format=settings.format,
        task=settings.task,
        labels=settings.labels,
        columns=settings.columns,
        images=settings.images,
        recorded=RecordedSplit.read(run, forced=force),
        log=log,
        on_event=on_event,
        answered=() if base is None else tuple(base.bundle.tasks),
    )
    recipe, parts = looked_at(recipe, data, log)
    pictures = len(parts.entries("train", recipe.data.balance_to, recipe.seed, shares=recipe.data.task_shares).samples)
    if base is None and settings.minutes is None:
        recipe = with_others(recipe, data.learned, len(parts.indices("train")))
    recipe = recipe.resolved(
        pictures,
        closed_form=closed_form(data.learned),
        step_size=step_size(data.learned, recipe.model.head),
        augmentation=augmentation(data.learned),
    )
    settings = replace(settings, recipe=as_data_asks(recipe, Path(settings.data), parts, base, log))
    recipe = settings.recipe
    positive_index(data.samples.class_names, settings.positive)
    data.objective(recipe)
    wanted_of(settings, data)
    texts(settings.lang)
    settings = _same_data(run, settings, data, force)
    write_json(run.audit, data.audit.to_dict())
    write_split_csv(run.split, data.samples, data.content_hashes, data.likely)
    return settings, data


def _measured(
    bundle: Bundle,
    settings: RunSettings,
    data: TrainingData,
    further: Mapping[str, Samples],
    base: Base | None,
    log: RunLog,
) -> tuple[Bundle, list[Evaluation]]:
    """The bundle with its figures, and the evaluations. The bundle is whole whatever happens here, and that is said."""
    try:
        bundle = decide_run(bundle, settings, data, log)
        evaluations = evaluate_run(bundle, data, settings.recipe, settings.positive, further, log)
        validation = evaluations[0].baseline("val")
        validation = validation if base is None else base.baseline(validation)
        last = data.indices("test") if len(data.indices("test")) else data.indices("val")
        for text in constant_answers(data.learned, sizes_of(data), data.indices("train"), last):
            log.note(text)
        twins = near_twins(evaluations[0], data.near_twins, data.kept_together, settings.recipe.seed)
        if twins is not None and twins.with_twin:
            log.note(twins.text)
        figures = figures_by_task(evaluations, data.fingerprint_of)
        return with_metrics(bundle, figures, data.fingerprint(), validation), evaluations
    except BaseException as error:
        log.note(f"Measuring ended early ({_named(error)}). The bundle is whole, without figures: {bundle.folder}")
        raise


def _attempted(report: Callable[[], None], bundle: Bundle, log: RunLog) -> str | None:
    """What went wrong with the report, if anything did: an error there takes nothing away from a training that is done."""
    try:
        report()
    except Exception as error:
        text = f"The report can not be written: {_named(error)}. The bundle is whole: {bundle.folder}"
        logger.debug("the report failed", exc_info=True)
        log.note(text)
        return text
    return None


def _named(error: BaseException) -> str:
    return str(error) if isinstance(error, PocketVisionError) else f"{type(error).__name__}: {error}".rstrip(": ")


def _keep_exports(run: RunFolder, log: RunLog) -> None:
    """A bundle that more was added to than a training writes is kept beside the one that takes its place."""
    try:
        more = set(read_bundle(run.bundle, check_hashes=False).manifest.files) - {*WRITTEN, LEARNED_FROM}
    except BundleError:
        return
    if more:
        numbers = (number for number in count(1) if not (run.folder / f"bundle-{number}").exists())
        kept = run.folder / f"bundle-{next(numbers)}"
        shutil.copytree(run.bundle, kept)
        log.note(f"The bundle so far, with {', '.join(sorted(more))}, is kept as {kept}; export the new one again.")


def _same_data(run: RunFolder, settings: RunSettings, data: TrainingData, force: bool) -> RunSettings:
    """Settings with the data's fingerprint. UsageError when a resumed run finds other data than it began with."""
    found = data.fingerprint()
    if settings.data_fingerprint not in ("", found) and not force:
        raise other_data(settings.data, run.folder)
    settings = replace(settings, data_fingerprint=found)
    settings.write(run)
    return settings


def _ship(
    run: RunFolder,
    settings: RunSettings,
    network: Network,
    preprocessing: Preprocessing,
    data: TrainingData,
    base: Base | None,
    on_event: OnEvent,
) -> Shipped:
    parts, tasks, known = in_tiles(data, settings.recipe.data.tile), manifests(data.learned), data.learned_from
    indices, tasks = parts.indices("val"), viewed(tasks, settings.recipe)
    sources = Parts(parts.samples, preprocessing.white_level, settings.recipe.data.max_pixels)
    if base is not None:
        network, tasks, known = base.whole(network), base.tasks(tasks), base.learned_from(known)

    def load(index: int) -> "tuple[NDArray[np.float32], Placement]":
        return preprocessing.place(sources.source(int(indices[index])), max_pixels=settings.recipe.data.max_pixels)

    return ship(
        network.to(memory_format=torch.contiguous_format),
        run.bundle,
        tasks=tasks,
        preprocessing=preprocessing,
        load=load,
        names=[parts.samples.paths[index] for index in indices],
        calibrate=calibrated_on({task: truth.select(indices) for task, truth in parts.learned.items()}),
        files={LEARNED_FROM: known.to_bytes()} if settings.ship_hashes else {},
        on_progress=lambda done, total: on_event(Counted("export", done, total)),
    )


def _finish(run: RunFolder, settings: RunSettings, interrupted: bool) -> None:
    """Mark the run; the trunk cache inside it is dropped once nothing will need it."""
    replace(settings, status="interrupted" if interrupted else "finished").write(run)
    if not interrupted:
        shutil.rmtree(run.cache, ignore_errors=True)
