"""evaluate: a bundle measured on labelled images, with the same figures and the same report as after training."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.bundle import Bundle, resolve, rewrite_bundle
from pocketvision.data.learned_from import Matches, known_to, looked_up
from pocketvision.data.samples import SPLIT_NAMES, SPLITS, Samples
from pocketvision.data.small_classes import large_enough, only_classes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.sources.in_memory import InMemory, PictureDataset, given_data
from pocketvision.data.table_rows import Columns
from pocketvision.errors import UsageError, unknown_name
from pocketvision.evaluation.evaluate import evaluate_predictor
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.overlap import Role
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.texts import texts
from pocketvision.evaluation.report.write import write_report
from pocketvision.models.imagenet_classes import imagenet_classes, imagenet_synsets
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.printable import counted
from pocketvision.progress import Counted, Note, OnEvent, silent
from pocketvision.runtime.backends import usable_cores
from pocketvision.runtime.predictor import BATCH, Predictor
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.tasks.comparing import MEASURED, check_options
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.workflows.pretrained import open_bundle

# What images of these splits were to whatever was trained on their data, where its bundle keeps no hashes to tell.
_ROLES: dict[str | None, Role] = {"train": "learned", "val": "selection"}


def evaluate(
    bundle: str | Path,
    data: str | Path | PictureDataset | None = None,
    *,
    paths: Iterable[Any] | None = None,
    labels: Iterable[Any] | None = None,
    format: str | None = None,
    split: str | None = None,
    positive: str | None = None,
    out: str | Path | None = None,
    lang: str = "en",
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    images: str | Path | None = None,
    min_per_class: int = 1,
    batch: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    backend: str | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    baseline: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_event: OnEvent = silent,
) -> Evaluation:
    """Measure `bundle` (a folder, a run's folder, or a pre-trained network's name) on the labelled images of `data`.

    data: an image folder, a CSV or Parquet table with these columns, or a data set that gives (picture, truth). Classes are
    matched to the bundle's by name: one that `data` lacks has no figures and shifts no other. For a network with ImageNet's
    classes they may be WordNet ids. paths, labels: in its place, files or pictures and the class of each; with a data set, labels
    are its class names. format: a name of SOURCES, None finds out. images: where a table's relative paths start; None is its
    folder. min_per_class: classes of `data` with fewer images are left out, which is noted; they may be ones that the bundle does
    not know.
    Images that the bundle learned from, or nearly the same ones, are left out and counted (Evaluation.overlap), where it keeps
    hashes of its training's images.
    split: "train", "val", "test" or what people call them; None takes the test split if `data` has one, else every image.
    positive: with two classes, the one that precision, recall and F1 are of; None takes the one of the training.
    out: a folder for report.html (in `lang`, "en" or "ko"), metrics.json and plots/; None writes nothing.
    batch, workers, threads, backend, device, max_pixels: see Predictor. seed: the bootstrap's. on_progress: images measured
    and their total. on_event: what is done before that.
    baseline: also write into the bundle's manifest how confident its answers were and how bright the images, for a server to
    hold later ones against (baseline.py). Not of images that were trained on: their confidence is too high.

    Raises UsageError (no such data or split, a class that the bundle does not know), BundleError, MissingExtraError.
    """
    _refuse_early(bundle, None if out is None else lang, baseline)
    predictor = Predictor(open_bundle(bundle), backend=backend, threads=threads, device=device, detail=MEASURED)
    positive = predictor.bundle.positive if positive is None else positive
    check_options(predictor.bundle.tasks, MeasureOptions(positive=positive))
    columns = Columns(path_column, label_column, split_column, group_column)
    samples, split, source = labelled_images(
        predictor.bundle,
        given_data(data, paths, labels),
        columns,
        format=format,
        images=images,
        min_per_class=min_per_class,
        split=split,
        on_event=on_event,
    )
    if baseline:
        _refuse_trained(samples, split, source)
    matches = seen_before(predictor.bundle, samples, workers, max_pixels, on_event)
    evaluation = evaluate_predictor(
        predictor,
        samples,
        name=split or "data",
        role=role_of(split, matches),
        matches=matches,
        positive=positive,
        batch=batch or BATCH,
        workers=workers,
        max_pixels=max_pixels,
        seed=seed,
        on_progress=on_progress,
    )
    if out is not None:
        _write_report(Path(out), _record(predictor.bundle, source, evaluation), evaluation, lang)
    if baseline:
        _write_baseline(predictor.bundle, evaluation, split)
    return evaluation


def labelled_images(
    bundle: Bundle,
    given: Path | InMemory,
    columns: Columns,
    *,
    format: str | None,
    images: str | Path | None,
    min_per_class: int = 1,
    split: str | None,
    usual: str = "test",
    on_event: OnEvent,
) -> tuple[Samples, str | None, Path]:
    """The images to measure a bundle on, the split that they are of, and where they come from.

    usual: the split that is taken where none is named and the data has it; None of the splits otherwise.
    """
    if isinstance(given, InMemory):
        source, read = Path(given.name), given.reader()
    else:
        source = given
        read = partial(
            read_samples,
            given,
            format=format,
            task=bundle.only_kind,
            path_column=columns.path,
            label_column=columns.label,
            split_column=columns.split,
            group_column=columns.group,
            images=images,
        )
    samples = _labelled(read, bundle.labels, min_per_class, on_event)
    return *_chosen(samples, split, usual, source), source


def role_of(split: str | None, matches: Matches | None) -> Role:
    """What images of a split were to the training, as far as is known."""
    return _ROLES.get(split, "given") if matches is None else "given"


def _refuse_early(bundle: str | Path, lang: str | None, baseline: bool) -> None:
    """Refuse before the work what would end it after it: a report in an unknown language, a baseline without a manifest."""
    if lang is not None:
        texts(lang)
    if baseline and not resolve(bundle).is_dir():
        raise UsageError(f"{bundle} is no bundle's folder, so there is no manifest to write a baseline into.")


def _write_report(folder: Path, record: RunRecord, evaluation: Evaluation, lang: str) -> None:
    """An error of a report that can not be written has the figures with it: measuring took longer than writing them would."""
    try:
        write_report(folder, record, lang)
    except OSError as error:
        for each in evaluation.tasks.values():
            headline, images = each.metrics.headline, counted(each.metrics.images, "image")
            error.add_note(f"Measured all the same: {headline.name} {headline.value:.1%} on {images}.")
        raise


def _labelled(read: Callable[..., Samples], labels: tuple[str, ...], min_per_class: int, on_event: OnEvent) -> Samples:
    """The samples, by the names that the network has for their classes. How they were read, and what was left out, is noted."""
    samples = _by_synset(read) if labels == imagenet_classes() else None
    if samples is None:  # a class that is too small may be one that the network does not know
        samples = read(labels=(labels or None) if min_per_class == 1 else None)
    chosen = large_enough(samples, min_per_class) | (samples.class_counts() == 0)
    samples = samples if chosen.all() else only_classes(samples, chosen, min_per_class)
    for line in samples.account:
        on_event(Note(line))
    return samples


def _chosen(samples: Samples, split: str | None, usual: str, data: Path) -> tuple[Samples, str | None]:
    """The images that are asked for, and the split that they are of: the usual one, where none is named and it is there."""
    if split is None:
        has_usual = samples.splits is not None and len(samples.split_indices(usual)) > 0
        return (_of_split(samples, usual, data), usual) if has_usual else (samples, None)
    place = SPLIT_NAMES.get(split.lower())
    if place is None:
        raise unknown_name("split", split, SPLITS)
    return _of_split(samples, SPLITS[place], data), SPLITS[place]


def seen_before(
    bundle: Bundle, samples: Samples, workers: int | None, max_pixels: int, on_event: OnEvent
) -> Matches | None:
    """Which of the images the bundle has seen in its training; None where it keeps no hashes."""
    known = known_to(bundle)
    if known is None:
        return None
    matches, _ = looked_up(
        known,
        [samples.file(index) for index in range(len(samples))],
        workers=usable_cores() if workers is None else workers,
        max_pixels=max_pixels,
        on_progress=lambda done, total: on_event(Counted("compare", done, total)),
    )
    return matches


def _write_baseline(bundle: Bundle, evaluation: Evaluation, split: str | None) -> None:
    if evaluation.role == "learned":
        raise UsageError(
            "A baseline is not measured on images that the bundle learned from, and all of these are. Give others."
        )
    rewrite_bundle(bundle, replace(bundle.manifest, baseline=evaluation.baseline(split or "data")))


def _refuse_trained(samples: Samples, split: str | None, data: Path) -> None:
    """Raise UsageError for a baseline of images that a bundle may have learned from."""
    trained = samples.splits is not None and split is None and len(samples.split_indices("train")) > 0
    if split == "train" or trained:
        raise UsageError(
            f"A baseline is not measured on training images, of which a network is surer than of new ones: take another split of "
            f"{data} (--split val)."
        )


def _by_synset(read: Callable[..., Samples]) -> Samples | None:
    """The samples under their classes' names, when what they are labelled with are ImageNet's WordNet ids."""
    try:
        samples = read(labels=imagenet_synsets())
        return replace(samples, truth=class_truth(samples.labels, imagenet_classes()))
    except UsageError:
        return None  # other names, or something that reading them by the network's labels will say


def _of_split(samples: Samples, split: str, data: Path) -> Samples:
    chosen = np.array([]) if samples.splits is None else samples.split_indices(split)
    if len(chosen) == 0:
        found = "no splits" if samples.splits is None else f"no images in its {split} split"
        raise UsageError(f"{data} has {found}. Leave the split out to evaluate every image.")
    return samples.select(chosen)


def _record(bundle: Bundle, data: Path, evaluation: Evaluation) -> RunRecord:
    manifest = bundle.manifest
    return RunRecord(
        title=data.resolve().name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        evaluations=(evaluation,),
        model=manifest.architecture.get("name"),
        agreement=manifest.agreement,
        bundle=str(bundle.folder),
        sizes={name: file.size for name, file in manifest.files.items()},
        timings={"evaluation": evaluation.seconds},
        versions=manifest.versions,
    )
