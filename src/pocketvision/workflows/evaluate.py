"""evaluate: a bundle measured on labelled images, with the same figures and the same report as after training."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pocketvision.bundle import Bundle, resolve, rewrite_bundle
from pocketvision.data.further_columns import slice_columns
from pocketvision.data.sources.in_memory import PictureDataset, given_data
from pocketvision.data.sources.named_sets import named_set
from pocketvision.data.table_rows import Columns
from pocketvision.errors import UsageError
from pocketvision.evaluation.asked import Asked, Reading, averaging, measured
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.images import labelled_images, refuse_trained, role_of, seen_before
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.repeating import repeating
from pocketvision.evaluation.report.texts import texts
from pocketvision.evaluation.report.write import write_report
from pocketvision.explain.training_pictures import looking_of
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.printable import counted
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.predictor import BATCH
from pocketvision.tasks.comparing import check_options
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.task import ViewOptions
from pocketvision.workflows.answering import open_answering
from pocketvision.workflows.pretrained import open_bundle


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
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
    ignore: int | None = None,
    root: str | Path | None = None,
    download: bool = False,
    min_per_class: int = 1,
    batch: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    backend: str | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    tile: int | None = None,
    scales: Sequence[float] | None = None,
    keep: bool = False,
    tta: Iterable[str] = (),
    slices: Iterable[str] | None = None,
    robustness: bool = False,
    seed: int = 0,
    baseline: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_event: OnEvent = silent,
) -> Evaluation:
    """Measure `bundle` (a folder, a run's folder, a pre-trained network's name, or a running server's address) on the labelled
    images of `data`.

    data: an image folder, a CSV or Parquet table with these columns, or a data set that gives (picture, truth). Classes are
    matched to the bundle's by name: one that `data` lacks has no figures and shifts no other. For a network with ImageNet's
    classes they may be WordNet ids. paths, labels: in its place, files or pictures and the class of each; with a data set, labels
    are its class names. format: a name of SOURCES, None finds out. box_columns: left, top, right, bottom of a table of
    boxes. images: where a table's relative paths start; None is its
    folder. ignore: the value of masks' pixels that are of no class.
    min_per_class: classes of `data` with fewer images are left out, which is noted; they may be ones that the bundle does
    not know.
    Images that the bundle learned from, or nearly the same ones, are left out and counted (Evaluation.overlap), where it keeps
    hashes of its training's images.
    root, download: of a published set by name, such as cifar10 (data/sources/named_sets.py).
    split: "train", "val", "test" or what people call them; None takes the test split if `data` has one, else every image.
    positive: with two classes, the one that precision, recall and F1 are of; None takes the one of the training.
    out: a folder for report.html (in `lang`, "en" or "ko"), metrics.json and plots/; None writes nothing.
    batch, workers, threads, backend, device, max_pixels: see Predictor. seed: the bootstrap's. on_progress: images measured
    and their total. on_event: what is done before that.
    tile, scales: how large pictures of masks are looked at (ViewOptions), where that is not as the bundle says; keep: write that
    into the bundle, so that predict, serve and stream look the same way.
    tta: average the answers over these views of each image (turning.VIEWS); what that brings and costs is in Evaluation.further.
    slices: also figures of parts of the images: by these columns of a CSV or TSV, by the pictures' size and by their brightness;
    None leaves that out. robustness: also answers to pictures made worse, of at most 200.
    baseline: also write into the bundle's manifest how confident its answers were and how bright the images, for a server to
    hold later ones against (baseline.py). Not of images that were trained on: their confidence is too high.

    Raises UsageError (no such data or split, a class that the bundle does not know), BundleError, MissingExtraError.
    """
    _refuse_early(bundle, None if out is None else lang, baseline, keep)
    tta, slices = tuple(tta), None if slices is None else tuple(slices)
    views = ViewOptions(tile, None if scales is None else tuple(scales))
    predictor = open_answering(bundle, backend=backend, threads=threads, device=device, views=views)
    if predictor.bundle.credit:
        on_event(Note(predictor.bundle.credit))
    positive = predictor.bundle.positive if positive is None else positive
    check_options(predictor.bundle.tasks, MeasureOptions(positive=positive))
    averaged = averaging(predictor, tta) if tta else None
    columns = Columns(path_column, label_column, split_column, group_column, box=tuple(box_columns))
    samples, split, source = labelled_images(
        predictor.bundle,
        given_data(named_set(data, root, download=download), paths, labels, predictor.bundle.only_kind),
        columns,
        format=format,
        images=images,
        ignore=ignore,
        min_per_class=min_per_class,
        split=split,
        on_event=on_event,
    )
    if baseline:
        refuse_trained(samples, split, source)
    dividing = slice_columns(slices, source, samples, path_column, images)
    matches = seen_before(predictor.bundle, samples, workers, max_pixels, on_event)
    evaluation = measured(
        predictor,
        samples,
        averaged,
        dividing,
        robustness,
        Asked(split or "data", role_of(split, matches), matches, MeasureOptions(positive=positive, seed=seed)),
        Reading(batch or BATCH, workers, max_pixels),
        on_progress,
        on_event,
    )
    if out is not None:
        further = {"tta": tta, "slices": slices, "robustness": robustness, "format": format, "images": images}
        command = repeating(bundle, source, split, further)
        record = replace(_record(predictor.bundle, source, evaluation), command=command)
        _write_report(Path(out), record, evaluation, lang)
    if baseline:
        _write_baseline(predictor.bundle if keep else open_bundle(bundle), evaluation, split)
    elif keep:
        rewrite_bundle(predictor.bundle, predictor.bundle.manifest)
    return evaluation


def _refuse_early(bundle: str | Path, lang: str | None, baseline: bool, keep: bool) -> None:
    """Refuse before the work what would end it after it: a report in an unknown language, words for a manifest that is none."""
    if lang is not None:
        texts(lang)
    if (baseline or keep) and not resolve(bundle).is_dir():
        what = "a baseline" if baseline else "tiles and scales"
        raise UsageError(f"{bundle} is no bundle's folder, so there is no manifest to write {what} into.")


def _write_report(folder: Path, record: RunRecord, evaluation: Evaluation, lang: str) -> None:
    """An error of a report that can not be written has the figures with it: measuring took longer than writing them would."""
    try:
        write_report(folder, record, lang)
    except OSError as error:
        for each in evaluation.tasks.values():
            headline, images = each.metrics.headline, counted(each.metrics.images, "image")
            error.add_note(f"Measured all the same: {headline.name} {headline.value:.1%} on {images}.")
        raise


def _write_baseline(bundle: Bundle, evaluation: Evaluation, split: str | None) -> None:
    if evaluation.role == "learned":
        raise UsageError(
            "A baseline is not measured on images that the bundle learned from, and all of these are. Give others."
        )
    rewrite_bundle(bundle, replace(bundle.manifest, baseline=evaluation.baseline(split or "data")))


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
        looking=looking_of(bundle, evaluation.root),
    )
