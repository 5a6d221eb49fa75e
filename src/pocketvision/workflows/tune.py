"""tune: a learning rate and a batch for a training, looked for before it begins."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketvision.errors import UsageError
from pocketvision.evaluation.report.figures import write_chart
from pocketvision.evaluation.report.plots import sweep_chart
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import Counted, OnEvent, silent
from pocketvision.training.batch_finder import BatchSweep, batches_within
from pocketvision.training.feeding import make_inputs
from pocketvision.training.peak_memory import free_memory
from pocketvision.training.phase_models import cuts_of
from pocketvision.training.phases import Entries
from pocketvision.training.precision import PRECISIONS
from pocketvision.training.rate_finder import RateSweep, swept
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.run_log import RunLog
from pocketvision.training.starting import start
from pocketvision.training.tiled_data import in_tiles
from pocketvision.training.training_data import TrainingData
from pocketvision.workflows.training_run import prepared

PICTURES = 2000
"""Learned from at most, drawn at random: a curve of a hundred steps sees no more."""


def tune_lr(
    data: str | Path,
    recipe: Recipe | None = None,
    *,
    phase: int | None = None,
    steps: int = 100,
    plot: str | Path | None = None,
    format: str | None = None,
    task: str | None = None,
    on_event: OnEvent = silent,
) -> RateSweep:
    """Raise the learning rate of a phase (None: the first one with steps) of a training of `recipe` on `data` until the loss runs
    away, and say where it fell fastest. Nothing is kept but the plot, a PNG. Raises UsageError as a training would."""
    if steps < 20:
        raise UsageError(f"--steps is {steps}; expected at least 20, for a curve that tells something.")
    with tempfile.TemporaryDirectory() as folder:
        made = _prepared(data, recipe or Recipe(), format, task, Path(folder), on_event)
        phases = made.recipe.phase_settings()
        entries = made.some("train")
        cuts = cuts_of(made.network, phases, from_scratch=made.recipe.model.from_scratch)
        inputs = make_inputs(
            made.recipe,
            made.data,
            made.network,
            made.preprocessing,
            cuts=set(cuts),
            entries=entries,
            validation=made.some("val"),
            folder=Path(folder),
            log=made.log,
        )
        found = swept(
            made.network,
            inputs,
            entries=entries,
            validation=made.some("val"),
            phases=phases,
            number=made.phase(phase),
            objective=made.data.objective(made.recipe),
            seed=made.recipe.seed,
            from_scratch=made.recipe.model.from_scratch,
            precision=PRECISIONS[made.recipe.precision],
            name_of=lambda index: made.data.samples.paths[index],
            steps=steps,
            on_step=lambda done, of: on_event(Counted("tune", done, of)),
        )
    if plot is not None:
        write_chart(Path(plot), [sweep_chart(found.rates, found.losses, found.suggested)], lambda key, **_: key)
    return found


def tune_batch(
    data: str | Path,
    recipe: Recipe | None = None,
    *,
    phase: int | None = None,
    memory: float | None = None,
    format: str | None = None,
    task: str | None = None,
    on_event: OnEvent = silent,
) -> BatchSweep:
    """The largest batch of a phase (None: the first one with steps) whose steps stay within `memory` GB (None: three quarters of
    what is free now), and the fastest. Nothing is kept. Raises UsageError as a training would."""
    limit = _limit(memory)
    with tempfile.TemporaryDirectory() as folder:
        made = _prepared(data, recipe or Recipe(), format, task, Path(folder), on_event)
        phases = {each.number: each for each in made.recipe.phase_settings()}
        return batches_within(
            made.network,
            phases[made.phase(phase)],
            from_scratch=made.recipe.model.from_scratch,
            precision=PRECISIONS[made.recipe.precision],
            size=(made.preprocessing.height, made.preprocessing.width),
            limit=limit,
            most=len(made.data.indices("train")),
            on_tried=lambda each: made.log.note(
                f"{each.images} images a step: {each.memory / 1000:.2f} GB, {each.images_per_second:.3g} images/s"
            ),
        )


@dataclass(frozen=True, eq=False)
class _Prepared:
    recipe: Recipe
    data: TrainingData
    network: Network
    preprocessing: Preprocessing
    log: RunLog

    def some(self, split: str) -> Entries:
        """Of a split, PICTURES at most."""
        entries = self.data.entries(split)
        chosen = np.random.default_rng(self.recipe.seed).permutation(len(entries.samples))[:PICTURES]
        return replace(entries, samples=entries.samples[chosen], replicas=entries.replicas[chosen])

    def phase(self, number: int | None) -> int:
        """As asked for, or the first one with steps."""
        numbers = {each.number: each.solver for each in self.recipe.phase_settings()}
        if number is None:
            number = next((each for each, solver in numbers.items() if solver == "gradient"), 1)
        if number not in numbers:
            raise UsageError(f"--phase is {number}; the recipe has the phases {', '.join(map(str, numbers))}.")
        return number


def _prepared(
    data: str | Path, recipe: Recipe, format: str | None, task: str | None, folder: Path, on_event: OnEvent
) -> _Prepared:
    run = RunFolder(folder)
    settings = RunSettings(
        data=str(Path(data).resolve()),
        columns={},
        labels=None,
        recipe=recipe,
        data_fingerprint="",
        status="started",
        format=format,
        task=task,
    )
    log = RunLog(run.log, on_event)
    settings, found = prepared(run, settings, None, log, on_event)
    network, preprocessing, _ = start(settings.recipe, found.learned, found.white_level, None, log)
    return _Prepared(settings.recipe, in_tiles(found, settings.recipe.data.tile), network, preprocessing, log)


def _limit(memory: float | None) -> float:
    """In MB."""
    if memory is not None:
        if not 0.1 <= memory <= 10_000:
            raise UsageError(f"--memory is {memory:g}; expected gigabytes from 0.1 to 10,000.")
        return memory * 1000
    free = free_memory()
    if free is None:
        raise UsageError("This system does not say how much memory is free: give --memory, in gigabytes.")
    return 0.75 * free
