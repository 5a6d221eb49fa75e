"""threshold: from which score on a bundle's classes count, chosen by a wish on labelled images, and written into its manifest."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pocketvision.bundle import resolve
from pocketvision.data.sources.in_memory import PictureDataset, given_data
from pocketvision.data.table_rows import Columns
from pocketvision.errors import UsageError
from pocketvision.evaluation.deciding import ThresholdResult, Wanted, choose_on, deciding_row
from pocketvision.evaluation.evaluate import evaluate_predictor
from pocketvision.evaluation.images import labelled_images, role_of, seen_before
from pocketvision.evaluation.novelty_fit import fit_novelty, require_ordinary
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.progress import OnEvent, silent
from pocketvision.runtime.novelty import keeps_novelty, read_novelty
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.comparing import MEASURED, check_options
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.thresholds import Wish
from pocketvision.workflows.pretrained import open_bundle


def threshold(
    bundle: str | Path,
    data: str | Path | PictureDataset | None = None,
    wishes: Iterable[str | Wish] = (),
    *,
    positive: str | None = None,
    abstain_below: float | None = None,
    coverage: float | None = None,
    none_of_these: float | None = None,
    reset: bool = False,
    task: str | None = None,
    paths: Iterable[Any] | None = None,
    labels: Iterable[Any] | None = None,
    format: str | None = None,
    split: str | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
    on_event: OnEvent = silent,
) -> ThresholdResult:
    """Choose the thresholds of `bundle` by `wishes` on the labelled images of `data`, and write them into its manifest: whole or
    not at all, and nothing else of the bundle changes.

    wishes: as in tasks/thresholds.py, "f1", "recall=0.9", "cat:precision=0.95", or a threshold itself, "0.3", for which no images
    are needed. positive: with two classes, the one that a wish is for which names none; None takes the one of the training.
    abstain_below: the score in [0, 1] below which an answer is unsure. coverage: the share of images whose set of
    classes is to hold the true one (tasks/classification/conformal.py). none_of_these: the share of
    ordinary images that may wrongly be said to be of none of the classes; without `data` by what the training kept, else
    fitted on the training split of `data`, whose images the bundle learned from, and set on the others
    (evaluation/novelty_fit.py). reset: begin without any of these.
    task: which of the bundle's tasks; None takes the one that classifies, else the first.
    data, paths, labels, format, split and the rest: as in evaluate; but without a split, the validation split is taken where
    there is one. Images that the bundle learned from are left out.

    Raises UsageError (nothing to do, a wish that is none or can not be met, no such data or class), BundleError.
    """
    if not resolve(bundle).is_dir():
        raise UsageError(f"{bundle} is no bundle's folder, so there is no manifest to write thresholds into.")
    read = open_bundle(bundle)
    name = read.task_name if task is None else task
    row = deciding_row(read, name)
    asked = [each if isinstance(each, Wish) else Wish.parse(each, read.tasks[name].labels) for each in wishes]
    wanted = Wanted(
        asked, read.positive if positive is None else positive, abstain_below, reset, coverage, none_of_these
    )
    has_images = data is not None or paths is not None
    wanted.require_fitting(read.tasks[name].kind, row)
    wanted.require(given=has_images, fitted=keeps_novelty(read))
    wanted.before_choosing(read.tasks[name])
    check_options({name: read.tasks[name]}, MeasureOptions(positive=wanted.positive))
    before, novelty = None, None
    if none_of_these is not None and not has_images:
        require_ordinary(read_novelty(read), none_of_these)
    if has_images:
        columns = Columns(path_column, label_column, split_column, group_column, box=tuple(box_columns))
        given = given_data(data, paths, labels, read.only_kind)
        samples, split, _ = labelled_images(
            read, given, columns, format=format, images=images, split=split, usual="val", on_event=on_event
        )
        if none_of_these is not None:
            try:
                learned, _, _ = labelled_images(
                    read, given, columns, format=format, images=images, split="train", on_event=on_event
                )
            except UsageError as error:  # all else was well when the others were read
                raise UsageError(
                    "--none-of-these is fitted on the images that the bundle learned from, and there is no training split in "
                    f"{data}. Give data with one, such as a run's RUN/split.csv."
                ) from error
        matches = seen_before(read, samples, workers, max_pixels, on_event)
        before = evaluate_predictor(
            Predictor(read, detail=MEASURED),
            samples,
            name=split or "data",
            role=role_of(split, matches),
            matches=matches,
            positive=wanted.positive,
            workers=workers,
            max_pixels=max_pixels,
            on_progress=on_progress,
        )
        if none_of_these is not None:
            novelty = fit_novelty(read, name, learned, samples, none_of_these, workers=workers, on_progress=on_progress)
    return choose_on(read, name, wanted, before, novelty)
