"""train: a folder or table of images becomes a run with a report and a bundle. The Python API's largest verb."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import write_json
from pocketvision.data.balance import ClassWeights
from pocketvision.data.sources.in_memory import InMemory, PictureDataset, given_data
from pocketvision.errors import UsageError
from pocketvision.models.architecture_file import SUFFIXES as ARCHITECTURE_SUFFIXES
from pocketvision.models.catalog import architecture
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.training.recipe import Recipe
from pocketvision.training.recorded_split import require_same_images
from pocketvision.training.run_folder import RunFolder, RunSettings, new_run_folder
from pocketvision.workflows.training_run import TrainResult, finished_run, run_training


def train(
    data: str | Path | PictureDataset | None = None,
    *,
    paths: Iterable[Any] | None = None,
    labels: Iterable[Any] | None = None,
    format: str | None = None,
    task: str | None = None,
    model: str = "efficientnet_lite0",
    out: str | Path | None = None,
    weights: str = "auto",
    weights_key: str | None = None,
    size: int | None = None,
    interpolation: str = "bilinear",
    epochs1: int | None = None,
    epochs2: int | None = None,
    lr1: float = 1e-3,
    lr2: float = 1e-4,
    batch: int = 32,
    dropout: float = 0.3,
    weight_decay: float = 1e-4,
    label_smoothing: float = 0.0,
    schedule: str = "plateau",
    schedule_patience: int = 3,
    patience: int = 7,
    unfreeze: int = 3,
    precision: str = "auto",
    views: int = Recipe.views,
    augmentation: str = "standard",
    class_weights: ClassWeights = "none",
    balance_to: int | None = None,
    val_share: float = 0.2,
    test_share: float = 0.0,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    images: str | Path | None = None,
    min_per_class: int = 1,
    positive: str | None = None,
    seed: int = 0,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    white_level: int | None = None,
    cache: bool = True,
    cache_dir: str | Path | None = None,
    cache_limit: int = Recipe.cache_limit,
    ship_hashes: bool = True,
    resume: str | Path | None = None,
    lang: str = "en",
    on_event: OnEvent = silent,
) -> TrainResult:
    """Train a classifier on `data` (an image folder, a CSV or Parquet table, or a data set that gives (picture, truth)) and ship
    it as a bundle. paths: in its place, files or pictures (data/sources/in_memory.py); labels then has the class of each, and
    else the class names in index order.

    The options are those of `pocketvision train`; Recipe describes the settings of the training itself. With `resume` (a run's
    folder) everything comes from that run but `epochs1` and `epochs2`, which may be raised, and `data` and `images`, if they were
    moved. A finished run that is given no more epochs is left as it is.
    Raises UsageError for wrong use, TrainingError, AgreementError; KeyboardInterrupt only before the first epoch is done.
    """
    recipe = Recipe(
        model=model,
        weights=weights,
        weights_key=weights_key,
        size=size,
        interpolation=interpolation,
        epochs1=Recipe.epochs1 if epochs1 is None else epochs1,
        epochs2=Recipe.epochs2 if epochs2 is None else epochs2,
        lr1=lr1,
        lr2=lr2,
        batch=batch,
        dropout=dropout,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        schedule=schedule,
        schedule_patience=schedule_patience,
        patience=patience,
        unfreeze=unfreeze,
        precision=precision,
        views=views,
        augmentation=augmentation,
        class_weights=class_weights,
        balance_to=balance_to,
        val_share=val_share,
        test_share=test_share,
        seed=seed,
        workers=workers,
        max_pixels=max_pixels,
        white_level=white_level,
        cache=cache,
        cache_limit=cache_limit,
    )
    cache_folder = None if cache_dir is None else Path(cache_dir)
    if resume is not None:
        return _resume(Path(resume), _moved_to(data, paths), images, recipe, epochs1, epochs2, cache_folder, on_event)
    if data is None and paths is None:
        raise UsageError("There is no data to train on: name an image folder or a table, or a run to --resume.")
    given = given_data(data, paths, labels)
    settings = RunSettings(
        data=str(given.resolve()) if isinstance(given, Path) else "",
        columns={
            "path_column": path_column,
            "label_column": label_column,
            "split_column": split_column,
            "group_column": group_column,
        },
        labels=None if labels is None or isinstance(given, InMemory) else list(labels),
        recipe=recipe,
        data_fingerprint="",
        status="started",
        lang=lang,
        positive=positive,
        images=None if images is None else str(Path(images).resolve()),
        min_per_class=min_per_class,
        ship_hashes=ship_hashes,
        format=format,
        task=task,
    )
    return _run_in_new_folder(None if out is None else Path(out), given, settings, model, cache_folder, on_event)


def _run_in_new_folder(
    out: Path | None,
    given: InMemory | Path,
    settings: RunSettings,
    model: str,
    cache_folder: Path | None,
    on_event: OnEvent,
) -> TrainResult:
    run = new_run_folder(out, given if isinstance(given, Path) else Path(given.name))
    if model.lower().endswith(ARCHITECTURE_SUFFIXES):  # the run keeps the rows, whatever becomes of the file
        write_json(run.architecture, architecture(model).to_dict())
        settings = replace(settings, recipe=replace(settings.recipe, model=str(run.architecture.resolve())))
    try:
        if isinstance(given, InMemory):
            names = None if given.names is None else list(given.names)
            settings = replace(settings, data=str(given.write(run.pictures).resolve()), labels=names)
        return run_training(run, settings, cache_folder, on_event)
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
    given: Recipe,
    epochs1: int | None,
    epochs2: int | None,
    cache_folder: Path | None,
    on_event: OnEvent,
) -> TrainResult:
    run = RunFolder(folder)
    settings = RunSettings.read(run)
    default = Recipe(epochs1=given.epochs1, epochs2=given.epochs2)
    changed = [name for name, value in given.to_dict().items() if value != default.to_dict()[name]]
    if changed:
        raise UsageError(
            f"With --resume every setting comes from the run; only --epochs1 and --epochs2 can change, not {', '.join(changed)}."
        )
    before = settings.recipe
    recipe = replace(
        before,
        epochs1=before.epochs1 if epochs1 is None else epochs1,
        epochs2=before.epochs2 if epochs2 is None else epochs2,
    )
    moved = settings.data if data is None else str(Path(data).resolve())
    images_from = settings.images if images is None else str(Path(images).resolve())
    there = replace(settings, recipe=recipe, data=moved, images=images_from)
    if settings.status == "finished" and recipe.epochs1 <= before.epochs1 and recipe.epochs2 <= before.epochs2:
        if (moved, images_from) != (settings.data, settings.images):
            require_same_images(run, there, on_event)
        unchanged = finished_run(run, on_event)
        if unchanged is not None:
            return unchanged
    settings.require_resumable(run)
    if not Path(moved).exists():
        raise UsageError(
            f"{moved}, the data of {folder}, is not there. If it was moved, say where to: "
            f"pocketvision train NEW-PLACE --resume {folder}"
        )
    if moved != settings.data:
        on_event(Note(f"{folder} was started on {settings.data}; it goes on if {moved} holds the same images."))
    return run_training(run, replace(there, status="started"), cache_folder, on_event)
