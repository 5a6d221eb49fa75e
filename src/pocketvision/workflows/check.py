"""check(): audit labelled images before training on them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pocketvision.data.audit import Audit, audit
from pocketvision.data.sources.catalog import read_samples
from pocketvision.preprocessing import MAX_PIXELS


def check(
    data: str | Path,
    *,
    labels: Sequence[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    images: str | Path | None = None,
    min_per_class: int = 1,
    max_pixels: int = MAX_PIXELS,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Find broken, doubled, leaked, mislabelled and lopsided images in a folder or table, without changing anything.

    data: an image folder or a CSV or Parquet table; the column names matter to tables alone.
    images: where a table's relative paths start; None is its folder. min_per_class: classes with fewer are left out.
    labels: every class name in index order; None takes those found. max_pixels: larger images count as unreadable.
    workers: decoding threads. on_progress: called with the images done and their total.

    `result.hurts` tells whether something would spoil a training. Raises UsageError when `data` is no such source.
    """
    samples = read_samples(
        data,
        labels=labels,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        group_column=group_column,
        images=images,
        min_per_class=min_per_class,
    )
    return audit(samples, max_pixels=max_pixels, workers=workers, on_progress=on_progress)
