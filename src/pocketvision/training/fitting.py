"""The middle of a training run: its inputs, its plan where it has a deadline, and its phases."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.export.shipping import AGREEMENT_IMAGES
from pocketvision.models.features import CUT
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import Counted, EpochEnded, Planned, PlannedPhase, silent
from pocketvision.training.added_heads import Base
from pocketvision.training.batch_order import balanced_weights
from pocketvision.training.deadline import Deadline
from pocketvision.training.engine import Replan, State, as_planned
from pocketvision.training.feeding import make_inputs
from pocketvision.training.history import HistoryFile
from pocketvision.training.inputs import CachedInputs, Inputs, Names
from pocketvision.training.objective import Objective
from pocketvision.training.pace import Pace
from pocketvision.training.phase_models import cuts_of
from pocketvision.training.phases import Entries, TrainedPhases, train_phases
from pocketvision.training.planning import Speeds, Work
from pocketvision.training.precision import PRECISIONS, multiplied_as
from pocketvision.training.processes import current
from pocketvision.training.recipe import Recipe
from pocketvision.training.resuming import telling_how_to_go_on
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.run_log import RunLog
from pocketvision.training.run_plan import Measuring, RunPlan, Values, said, values_of_plan
from pocketvision.training.setting import said as written
from pocketvision.training.setting_values import changed, values_of
from pocketvision.training.starting import others_of, start
from pocketvision.training.teachers import Teacher, Teaching, row_bytes, teaching
from pocketvision.training.tiled_data import in_tiles
from pocketvision.training.tracking import Tracking
from pocketvision.training.training_data import TrainingData

# What an epoch costs a picture, in passes of a view through the frozen network, until it is measured.
_HEADS, _NECK, _TAIL, _WHOLE = 0.05, 1.2, 2.5, 6.0
_AFTER = 15.0  # seconds after the last epoch, whatever the pictures, until they are measured


@dataclass(frozen=True, eq=False)
class SharedFit:
    """What the first of several processes hands to the others, so that all call `fit_run` alike."""

    run: RunFolder
    settings: RunSettings
    data: TrainingData
    cache_folder: Path | None
    teachers: Sequence[Teacher]
    ending: int
    deadline: Deadline | None

    def fit(self, base: Base | None) -> None:
        """Take part as another than the first, on a network of its own: nothing is shown or logged. base: as for `start`."""
        log = RunLog(Path(os.devnull), silent)
        network, preprocessing, _ = start(self.settings.recipe, self.data.learned, self.data.white_level, base, log)
        fit_run(
            self.run,
            self.settings,
            self.data,
            network,
            preprocessing,
            self.cache_folder,
            log,
            self.teachers,
            ending=self.ending,
            deadline=self.deadline,
            pace=Pace(),
        )


@dataclass
class _Fitting:
    """A run that is being fitted. settings: with what was decided so far, as written."""

    run: RunFolder
    settings: RunSettings
    data: TrainingData
    network: Network
    preprocessing: Preprocessing
    cache: Path
    log: RunLog
    entries: Entries
    validation: Entries
    ending: int
    teachers: Sequence[Teacher] = ()

    def record(self, values: Values) -> None:
        """Change the recipe, in memory and on disk."""
        self.settings = replace(self.settings, recipe=changed(self.settings.recipe, values))
        if current().is_first:
            self.settings.write(self.run)

    @property
    def recipe(self) -> Recipe:
        return self.settings.recipe

    @property
    def cuts(self) -> list[int]:
        """Of the phases."""
        return cuts_of(self.network, self.recipe.phase_settings(), from_scratch=self.recipe.model.from_scratch)

    @property
    def work(self) -> Work:
        """Compared and then answered by the exported file, and evaluated: validation images, and those of other splits."""
        validation = len(self.validation.samples)
        compared = min(validation, AGREEMENT_IMAGES)
        return Work(
            pictures=len(self.entries.samples),
            validation=validation,
            batch=self.recipe.step_size.batch,
            ending=compared + validation + self.ending,
            cached=self.recipe.cache.enabled and not self.recipe.model.from_scratch,
            all_views=self._reads_maps,
        )

    @property
    def names(self) -> Names:
        """What the last phase is fed, of what views are run for."""
        return [CUT] if self.recipe.phase_settings()[-1].unfreeze else self.network.features_read

    @property
    def _reads_maps(self) -> bool:
        """Whether a head reads maps, which it learns from all views of (CachedInputs.views)."""
        return any(self.network.feature(name).stride is not None for name in self.network.features_read)

    def _passes(self, unfreeze: int) -> float:
        """What an epoch costs a picture."""
        if self.recipe.model.from_scratch:
            return _WHOLE
        heads = _NECK if self._reads_maps else _HEADS
        return _TAIL + heads - _HEADS if unfreeze else heads

    def inputs(self) -> dict[int, Inputs]:
        """As the recipe stands; the views that the cache holds are written into it: a run that repeats this one has as many."""
        inputs = make_inputs(
            self.recipe,
            self.data,
            self.network,
            self.preprocessing,
            cuts=set(self.cuts),
            entries=self.entries,
            validation=self.validation,
            folder=self.cache,
            log=self.log,
            beside=row_bytes(self.teachers),
        )
        held = {each.most_views for each in inputs.values() if isinstance(each, CachedInputs)}
        if held:
            self.record({"cache.views": min(held)})
        return inputs

    def planned(self, speeds: Speeds | None = None) -> Planned:
        """What a display estimates the time left from."""
        work, recipe = self.work, self.recipe
        phases = [
            PlannedPhase(
                each.number,
                each.epochs,
                self._passes(each.unfreeze) if each.model is None else _WHOLE,
                None if speeds is None or each.solver != "gradient" else speeds.epoch(work, each.unfreeze),
            )
            for each in recipe.phase_settings()
        ]
        views = (
            recipe.cache.views
            if self._reads_maps or any(each.unfreeze or each.solver == "ridge" for each in recipe.phase_settings())
            else 1
        )
        return Planned(
            phases=tuple(phases),
            images=work.pictures + work.validation,
            views=len(set(self.cuts)) * (work.pictures * views + work.validation) if work.cached else 0,
            at_the_end=min(work.validation, AGREEMENT_IMAGES) + work.ending,
            after=_AFTER if speeds is None else speeds.after,
        )


def fit_run(
    run: RunFolder,
    settings: RunSettings,
    data: TrainingData,
    network: Network,
    preprocessing: Preprocessing,
    cache_folder: Path | None,
    log: RunLog,
    teachers: Sequence[Teacher] = (),
    *,
    ending: int,
    deadline: Deadline | None,
    pace: Pace,
) -> tuple[TrainedPhases, RunSettings, float]:
    """Train; the settings with what was decided on the way, and how many seconds it took, the trunk cache included.

    ending: images that are evaluated at the end, besides those of the validation split. pace: of the events of `log`.
    """
    started, processes = time.perf_counter(), current()
    if processes.is_first:
        processes.from_first(lambda: SharedFit(run, settings, data, cache_folder, teachers, ending, deadline))
    network.load_state_dict(processes.from_first(network.state_dict))
    recipe, data = settings.recipe, in_tiles(data, settings.recipe.data.tile)
    if recipe.model.from_scratch:
        log.note("No weights: a random start. Everything learns in every phase, and no features are cached.")
    own = recipe.data
    entries = data.entries("train", own.balance_to, recipe.seed, shares=own.task_shares)
    entries = _sampled(entries, data, own.sampler)
    cache = run.cache if cache_folder is None else cache_folder
    fitting = _Fitting(run, settings, data, network, preprocessing, cache, log, entries, data.entries("val"), ending)
    fitting.teachers = teachers
    log(fitting.planned())
    inputs = fitting.inputs()
    replan: Replan = as_planned
    if deadline is not None:
        inputs, replan = _planned(fitting, inputs, deadline, pace)
    with Tracking(run.folder, settings.trackers if processes.is_first else ()) as tracking:
        tracking.start({path: written(each) for path, each in values_of(fitting.recipe).items()}, log.note)
        with telling_how_to_go_on(run), multiplied_as(recipe.precision):
            trained = _train(fitting, inputs, replan, tracking)
    return trained, fitting.settings, time.perf_counter() - started


def _sampled(entries: Entries, data: TrainingData, sampler: str) -> Entries:
    """As data.sampler says."""
    if sampler != "balanced":
        return entries
    strata = [truth.select(entries.samples).strata for truth in data.learned.values()]
    return replace(entries, weights=balanced_weights(strata))


def _planned(
    fitting: _Fitting, inputs: dict[int, Inputs], deadline: Deadline, pace: Pace
) -> tuple[dict[int, Inputs], Replan]:
    """The recipe with its plan, its inputs, and who keeps the run to it."""
    before, work = fitting.recipe, fitting.work
    size = (fitting.preprocessing.height, fitting.preprocessing.width)
    measuring = Measuring(
        before,
        fitting.network,
        inputs,
        fitting.entries,
        work,
        compared=min(work.validation, AGREEMENT_IMAGES),
        size=size,
        precision=PRECISIONS[before.precision],
        deadline=deadline,
    )
    speeds, found = current().from_first(measuring.planned)
    fitting.log.note(said(found, deadline, before.phase_settings()[-1]))
    fitting.settings = replace(fitting.settings, minutes=None)
    fitting.record(values_of_plan(found, before))
    if fitting.recipe.cache.views != before.cache.views or found.unfreeze != before.phase_settings()[-1].unfreeze:
        inputs = fitting.inputs()
    fitting.log(fitting.planned(speeds))
    phases = fitting.recipe.phase_settings()

    def record(values: Values) -> None:
        fitting.record(values)
        fitting.log(fitting.planned(speeds))

    keeper = RunPlan(
        deadline,
        speeds,
        work,
        phases[-1],
        inputs[fitting.cuts[-1]],
        fitting.entries,
        pace,
        names=fitting.names,
        record=record,
        note=fitting.log.note,
        alone=len(phases) == 1,
    )
    return inputs, keeper.replan


def _teaching(fitting: _Fitting, inputs: dict[int, Inputs], objective: Objective) -> Teaching | None:
    if not fitting.teachers:
        return None
    images, log = next(iter(inputs.values())).images, fitting.log
    return teaching(
        fitting.recipe,
        fitting.teachers,
        objective,
        images,
        fitting.cache,
        lambda done, total: log(Counted("cache", done, total)),
    )


def _train(fitting: _Fitting, inputs: dict[int, Inputs], replan: Replan, tracking: Tracking) -> TrainedPhases:
    recipe, data, log = fitting.recipe, fitting.data, fitting.log
    objective, history = data.objective(recipe), HistoryFile(fitting.run.folder)

    def report(state: State) -> None:
        record = state.history[-1]
        epochs = fitting.recipe.phases[record.stage - 1].epochs
        if current().is_first and (wrong := history.ended(state.history)) is not None:
            log.note(wrong)
        tracking.epoch(record)
        log(EpochEnded(record, epochs or 1, best=state.best_epoch == record.epoch))

    return train_phases(
        fitting.network,
        inputs,
        entries=fitting.entries,
        validation=fitting.validation,
        phases=recipe.phase_settings(),
        objective=objective,
        seed=recipe.seed,
        from_scratch=recipe.model.from_scratch,
        others=others_of(recipe, data.learned),
        precision=PRECISIONS[recipe.precision],
        name_of=lambda index: str(data.samples.file(index)),
        checkpoints=fitting.run.folder,
        on_epoch=report,
        on_step=log,
        replan=replan,
        teaching=_teaching(fitting, inputs, objective),
        processes=current(),
    )
