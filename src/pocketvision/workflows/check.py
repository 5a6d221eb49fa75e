"""check(): audit labelled images before training on them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pocketvision.data.audit import Audit, audit
from pocketvision.data.small_classes import without_small_classes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.sources.in_memory import InMemory, PictureDataset, given_data
from pocketvision.data.sources.named_sets import named_set
from pocketvision.errors import MissingExtraError
from pocketvision.evaluation.doubt_sheet import with_doubts
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.workflows.answering import opened_judges


def check(
    data: str | Path | PictureDataset | None = None,
    *,
    paths: Iterable[Any] | None = None,
    labels: Iterable[Any] | None = None,
    format: str | None = None,
    task: str | None = None,
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
    max_pixels: int = MAX_PIXELS,
    workers: int = 2,
    groups: bool = False,
    label_problems: str | Path | None = None,
    bundle: Iterable[str | Path] | str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Find broken, doubled, leaked, mislabelled and lopsided images in a folder or table, without changing anything.

    data: an image folder, a CSV or Parquet table, pictures with boxes in any format of SOURCES, or a data set that gives
    (picture, truth); the column names matter to tables alone, box_columns are four, of left, top, right and bottom. paths: in
    its place, files or pictures (data/sources/in_memory.py); labels then has the class of each. labels: every class name in
    index order; None takes those found. format, task: as what the data is read; None finds out. images: where a table's
    relative paths start; None is its folder. ignore: the value of masks' pixels that are of no
    class. min_per_class: classes with fewer are left out. max_pixels: larger images count as
    unreadable. workers: decoding threads. groups: find likely groups too (`result.flattery`; needs the `train` extra).
    label_problems: a folder for what labels are likely wrong, a table to mend and a page (`result.label_problems`). bundle: one
    or several, whose answers judge objects and masks, each image by one that has not learned from it, where there is such a one;
    classes are judged without.
    root, download: of a published set by name, such as cifar10 (data/sources/named_sets.py).
    on_progress: called with the images done and their total. `result.hurts`: whether something would spoil a training. Raises
    UsageError when `data` is no such source.
    """
    judges = opened_judges(bundle, label_problems)
    given = given_data(named_set(data, root, download=download), paths, labels, task)
    if isinstance(given, InMemory):
        samples = without_small_classes(given.read(), min_per_class)
    else:
        samples = read_samples(
            given,
            format=format,
            task=task,
            labels=labels,
            path_column=path_column,
            label_column=label_column,
            split_column=split_column,
            group_column=group_column,
            box_columns=box_columns,
            images=images,
            ignore=ignore,
            min_per_class=min_per_class,
        )
    found = audit(samples, max_pixels=max_pixels, workers=workers, on_progress=on_progress)
    if label_problems is not None and judges:
        found = with_doubts(found, judges, Path(label_problems), workers, max_pixels, on_progress)
    if not groups and (label_problems is None or judges):
        return found
    try:
        from pocketvision.training.frozen_features import with_flattery, with_label_problems
    except ModuleNotFoundError as error:
        raise MissingExtraError("check --groups" if groups else "check --label-problems", "train") from error
    if label_problems is not None and not judges:
        found = with_label_problems(
            found, Path(label_problems), max_pixels=max_pixels, workers=workers, on_progress=on_progress
        )
    return with_flattery(found, max_pixels=max_pixels, workers=workers, on_progress=on_progress) if groups else found
