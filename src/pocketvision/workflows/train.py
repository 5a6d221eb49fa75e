"""train: a folder or table of images becomes a run with a report and a bundle. The Python API's largest verb."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import write_json
from pocketvision.data.sources.in_memory import InMemory, PictureDataset, given_data
from pocketvision.data.sources.named_sets import named_set
from pocketvision.data.sources.several_tasks import named_sources, write_tasks
from pocketvision.errors import UsageError
from pocketvision.models.architecture_file import SUFFIXES as ARCHITECTURE_SUFFIXES
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.training.added_heads import recipe_of_heads
from pocketvision.training.deadline import Deadline
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import recipe_of
from pocketvision.training.recorded_split import require_same_images
from pocketvision.training.resuming import resumed
from pocketvision.training.run_folder import RunFolder, RunSettings, new_run_folder
from pocketvision.training.setting_aliases import given_flat, with_aliases
from pocketvision.training.setting_values import Given, changed, given_settings
from pocketvision.training.trackers import tracker_names
from pocketvision.workflows.following import by_all_processes
from pocketvision.workflows.pretrained import open_bundle
from pocketvision.workflows.training_run import TrainResult, finished_run, run_training


@with_aliases(lambda alias: (alias.setting.kind, alias.default))
@by_all_processes
def train(
    data: str | Path | PictureDataset | None = None,
    *,
    paths: Iterable[Any] | None = None,
    labels: Iterable[Any] | None = None,
    format: str | None = None,
    task: str | None = None,
    tasks: Mapping[str, str | Path] | Sequence[str] | None = None,
    add_to: str | Path | None = None,
    out: str | Path | None = None,
    effort: str | None = None,
    preset: str | None = None,
    recipe: Recipe | str | Path | None = None,
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
    root: str | Path | None = None,
    download: bool = False,
    positive: str | None = None,
    cache_dir: str | Path | None = None,
    ship_hashes: bool = True,
    resume: str | Path | None = None,
    force: bool = False,
    minutes: float | Deadline | None = None,
    tracker: str | Iterable[str] = (),
    lang: str = "en",
    on_event: OnEvent = silent,
    **flat: Any,
) -> TrainResult:
    """Train a model on `data` (an image folder, a CSV or Parquet table, pictures with boxes, or a data set that gives (picture,
    truth)) and ship it as a bundle. paths: in its place, files or pictures (data/sources/in_memory.py); labels then has the class
    of each, and else the class names in index order. box_columns: of a table, left, top, right and bottom; none finds them.

    data may also be the name of a published set, such as cifar10 (data/sources/named_sets.py): root is where its archives and
    its pictures lie, download fetches them.
    tasks: several in one network, the source of each by its name (or NAME=SOURCE each), whose pictures are joined by path
    (docs/several-tasks.md); without, a folder's pocketvision.toml names them.
    add_to: a bundle or a run that gets the tasks' heads beside its own; its backbone and earlier heads stay as they are.
    effort: how long it may take: quick (heads in closed form alone), default, best (more stages, for longer). preset: a recipe by
    its name (training/presets.py).
    recipe: the settings of the training, as a value, a TOML file or the folder of a run whose settings are taken. settings:
    others by path, `{"phases.2.lr": 3e-4}` (`pocketvision train --show-recipe` lists them); those that most need are keyword
    arguments too. With `resume` (a run's folder) everything comes from that run but what resuming.CHANGEABLE names, such as the
    epochs of its phases, and `data` and `images`, if they were moved; `force` goes on where images were changed or are gone. A
    finished run that is given no more epochs is left as it is.
    minutes: the time that all of it may take, from now on or from the beginning of a Deadline: views, cut and epochs of the last
    phase are planned for it (docs/training.md), and that plan is in the run's recipe.
    tracker: tensorboard, mlflow or wandb get its figures, too; a run that goes on keeps its own.
    Raises UsageError for wrong use, TrainingError, AgreementError; KeyboardInterrupt only before the first epoch is done.
    """
    given, tracked = [*given_settings(settings or {}), *given_flat(flat)], tracker_names(tracker)
    cache_folder = None if cache_dir is None else Path(cache_dir)
    deadline = Deadline(minutes) if isinstance(minutes, int | float) else minutes
    if resume is not None:
        if deadline is not None:
            raise UsageError("A run that goes on keeps its plan: leave --minutes out, or train anew with it.")
        if recipe is not None or effort is not None or preset is not None:
            raise UsageError(
                "A run that goes on has its own recipe: leave --recipe, --preset and --effort out, or train anew with them."
            )
        return _resume(Path(resume), _moved_to(data, paths), images, given, cache_folder, force, on_event, tracked)
    if force:
        raise UsageError("--force is for a run that goes on (--resume): it lets its data be another.")
    wanted = (recipe_of if add_to is None else recipe_of_heads)(recipe, given, effort, preset)
    if deadline is not None:
        _require_unplanned(wanted, given)
    data = named_set(data, root, download=download)
    sources = named_sources(tasks or {}, data, paths)
    if data is None and paths is None and not sources:
        raise UsageError("There is no data to train on: name an image folder or a table, or a run to --resume.")
    first = next(iter(sources.values())).parent if sources and data is None else data
    source = given_data(first, paths, labels, task)
    run_settings = RunSettings(
        data=str(source.resolve()) if isinstance(source, Path) else "",
        columns={"path_column": path_column, "label_column": label_column, "split_column": split_column}
        | ({"box_columns": [*box_columns]} if box_columns else {}),
        labels=None if labels is None or isinstance(source, InMemory) else list(labels),
        recipe=wanted,
        data_fingerprint="",
        status="started",
        lang=lang,
        positive=positive,
        images=None if images is None else str(Path(images).resolve()),
        ship_hashes=ship_hashes,
        format=format,
        task=task,
        minutes=None if deadline is None else deadline.minutes,
        add_to=None if add_to is None else str(open_bundle(add_to).folder.resolve()),
        trackers=tracked,
    )
    return _run_in_new_folder(
        None if out is None else Path(out), source, sources, run_settings, cache_folder, deadline, on_event
    )


def _require_unplanned(recipe: Recipe, given: Iterable[Given]) -> None:
    """Raise UsageError where the epochs that --minutes plans are given too."""
    if recipe.distillation.teachers:
        raise UsageError(
            "--minutes does not know how long teachers take: give phases.N.epochs, or leave --teacher out."
        )
    last = max(number for number, phase in enumerate(recipe.phases, start=1) if phase.epochs != 0)
    for each in given:
        if each.path in (f"phases.{last}.epochs", "phases.*.epochs"):
            raise UsageError(
                f"{each.spelt} and --minutes contradict each other: --minutes plans the epochs of the last phase, {last}."
            )


def _run_in_new_folder(
    out: Path | None,
    given: InMemory | Path,
    sources: Mapping[str, Path],
    settings: RunSettings,
    cache_folder: Path | None,
    deadline: Deadline | None,
    on_event: OnEvent,
) -> TrainResult:
    run = new_run_folder(out, given if isinstance(given, Path) else Path(given.name))
    model = settings.recipe.model
    if model.name.lower().endswith(ARCHITECTURE_SUFFIXES):  # the run keeps the rows, whatever becomes of the file
        write_json(run.architecture, model.spec().to_dict())
        kept = changed(settings.recipe, {"model.name": str(run.architecture.resolve())})
        settings = replace(settings, recipe=kept)
    if Path(model.weights).is_file():
        settings = replace(
            settings, recipe=changed(settings.recipe, {"model.weights": str(Path(model.weights).resolve())})
        )
    if teachers := settings.recipe.distillation.teachers:
        places = [str(Path(each).resolve()) if Path(each).exists() else each for each in teachers]
        settings = replace(settings, recipe=changed(settings.recipe, {"distillation.teacher": ",".join(places)}))
    if unlabelled := settings.recipe.distillation.unlabelled:
        place = str(Path(unlabelled).resolve())
        settings = replace(settings, recipe=changed(settings.recipe, {"distillation.unlabelled": place}))
    try:
        if isinstance(given, InMemory):
            names = None if given.names is None else list(given.names)
            task = None if given.task == CLASSIFICATION else given.task
            settings = replace(settings, data=str(given.write(run.pictures).resolve()), labels=names, task=task)
        elif sources:
            write_tasks(run.tasks, sources)
            settings = replace(settings, data=str(run.tasks.resolve()))
        return run_training(run, settings, cache_folder, on_event, None, deadline)
    except UsageError:
        if not any(run.folder.glob("stage*/*")):  # refused before anything was trained: no half-made run stays behind
            shutil.rmtree(run.folder)
        raise


def _moved_to(data: str | Path | PictureDataset | None, paths: Iterable[Any] | None) -> str | Path | None:
    """Where the data of a run that goes on was moved to. UsageError for pictures that are handed over anew."""
    if paths is not None or not isinstance(data, str | Path | None):
        raise UsageError("A run that goes on keeps what it was given, or knows where it is: leave data and paths out.")
    return data


def _resume(
    folder: Path,
    data: str | Path | None,
    images: str | Path | None,
    given: list[Given],
    cache_folder: Path | None,
    force: bool,
    on_event: OnEvent,
    trackers: list[str],
) -> TrainResult:
    run = RunFolder(folder)
    found = resumed(run, given, data, images)
    if found.is_done:
        if found.moved:
            require_same_images(run, found.settings, on_event)
        unchanged = finished_run(run, on_event)
        if unchanged is not None:
            return unchanged
    settings = found.settings
    settings.require_resumable(run)
    found.require_data(run)
    if settings.data != found.before.data:
        on_event(
            Note(f"{folder} was started on {found.before.data}; it goes on if {settings.data} holds the same images.")
        )
    deadline = None if settings.minutes is None else Deadline(settings.minutes)  # broken off before it was planned
    settings = replace(settings, status="started", trackers=tracker_names([*settings.trackers, *trackers]))
    return run_training(run, settings, cache_folder, on_event, deadline=deadline, force=force)
