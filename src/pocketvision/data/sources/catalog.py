"""The table of sources: where images with their truth may come from. A new format is one file and one row."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.data.image_files import existing_form
from pocketvision.data.origin import Origin, SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.small_classes import without_small_classes
from pocketvision.data.sources.box_table import BOX_TABLE
from pocketvision.data.sources.cityscapes import CITYSCAPES
from pocketvision.data.sources.coco import COCO, COCO_MASKS
from pocketvision.data.sources.cvat import CVAT, CVAT_MASKS
from pocketvision.data.sources.image_folder import read_image_folder
from pocketvision.data.sources.image_table import read_image_table
from pocketvision.data.sources.label_studio import LABEL_STUDIO, LABEL_STUDIO_MASKS
from pocketvision.data.sources.labelme import LABELME, LABELME_MASKS
from pocketvision.data.sources.mask_folder import MASK_FOLDER
from pocketvision.data.sources.mask_table import MASK_TABLE
from pocketvision.data.sources.number_table import NUMBER_TABLE
from pocketvision.data.sources.open_images import OPEN_IMAGES
from pocketvision.data.sources.several_tasks import NAME as SEVERAL_TASKS
from pocketvision.data.sources.several_tasks import source_of as several_tasks
from pocketvision.data.sources.source import ASKED, OWN_FILE, SHAPE, Source
from pocketvision.data.sources.split_overlay import over_source, read_origin
from pocketvision.data.sources.tag_folder import TAG_FOLDER
from pocketvision.data.sources.tag_table import TAG_TABLE
from pocketvision.data.sources.voc import VOC
from pocketvision.data.sources.yolo import YOLO, YOLO_MASKS
from pocketvision.data.splits import origin_file
from pocketvision.data.table_rows import TABLE_SUFFIXES, Columns
from pocketvision.errors import UsageError, unknown_name
from pocketvision.plugins import all_rows, row_named
from pocketvision.printable import quoted
from pocketvision.tasks.catalog import GROUP as TASKS_GROUP
from pocketvision.tasks.catalog import TASKS, kind_of
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.segmentation.truth import MOST_VALUE

GROUP = "pocketvision.sources"

_OF_BOXES = "box-table"


def _read_split_overlay(table: Path, options: SourceOptions) -> Samples:
    origin, class_names = read_origin(table)
    if options.images is not None:
        origin = replace(origin, options=replace(origin.options, images=options.images))
    if options.ignore is not None:
        origin = replace(origin, options=replace(origin.options, ignore=options.ignore))
    return over_source(table, _read(origin), class_names, options.labels)


SOURCES: dict[str, Source] = {
    "image-folder": Source(
        expects="a folder with one sub-folder of images for each class (or train/, val/, test/ above them)",
        evidence=lambda path: SHAPE if path.is_dir() else None,
        kinds=(CLASSIFICATION,),
        read=lambda path, options: read_image_folder(path, labels=options.labels),
    ),
    "image-table": Source(
        expects=f"a table ({', '.join(TABLE_SUFFIXES)}) with the columns path and label",
        evidence=lambda path: SHAPE if path.is_file() and path.suffix.lower() in TABLE_SUFFIXES else None,
        kinds=(CLASSIFICATION,),
        read=lambda path, options: read_image_table(
            path, labels=options.labels, columns=options.columns, images=options.images
        ),
        names_files=True,
    ),
    "tag-folder": TAG_FOLDER,
    "tag-table": TAG_TABLE,
    "number-table": NUMBER_TABLE,
    "coco": COCO,
    "yolo": YOLO,
    "voc": VOC,
    "labelme": LABELME,
    "cvat": CVAT,
    "label-studio": LABEL_STUDIO,
    "open-images": OPEN_IMAGES,
    "box-table": BOX_TABLE,
    SEVERAL_TASKS: several_tasks(lambda path, **options: read_samples(path, **options)),
    "mask-folder": MASK_FOLDER,
    "mask-table": MASK_TABLE,
    "cityscapes": CITYSCAPES,
    "coco-masks": COCO_MASKS,
    "yolo-masks": YOLO_MASKS,
    "labelme-masks": LABELME_MASKS,
    "cvat-masks": CVAT_MASKS,
    "label-studio-masks": LABEL_STUDIO_MASKS,
    "split-overlay": Source(
        expects="the split.csv of a run, beside the file that names its source",
        evidence=lambda path: OWN_FILE if path.suffix.lower() == ".csv" and origin_file(path).is_file() else None,
        kinds=(),
        read=_read_split_overlay,
        names_files=True,
        has_values=True,
    ),
}


def read_samples(
    path: str | Path,
    *,
    format: str | None = None,
    task: str | None = None,
    labels: Iterable[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    box_columns: Iterable[str] = (),
    images: str | Path | None = None,
    ignore: int | None = None,
    min_per_class: int = 1,
) -> Samples:
    """Index the images with their truth at `path`; no image is opened.

    format: a name of SOURCES; None takes the one with the most specific evidence, among those that give the truth of `task`, a
    kind of task, if there is one. labels: every class name in index order; None takes the names found, in natural order. The
    column names matter to tables alone; box_columns are four, of left, top, right and bottom, and say that it is a table of
    boxes; none finds them. images: where the pictures are that a source names by paths; None is the table's folder, or where
    the format has them. ignore: a value of masks' pixels that is of no class, beside 255.
    min_per_class: classes with fewer images are left out, which is noted.

    Raises UsageError for a path that is absent, empty, of no or of several formats, for images without any truth, and for
    content that does not hold together (each source says what it refuses).
    """
    place, box = _existing(Path(path)), tuple(box_columns)
    if box and format not in (None, _OF_BOXES):
        raise UsageError(
            f"--box-columns names columns of the format {_OF_BOXES}, and {place} is to be read as {format}."
        )
    format = _OF_BOXES if box else format
    name, said = _recognised(place, task) if format is None else (format, ())
    if images is not None and not _row(name).names_files:
        what = "folder of images" if place.is_dir() else f"source of the format {name}"
        raise UsageError(
            f"--images {images} says where the paths of a table start, and {place} is a {what}. "
            "Leave it out, or name the table or the annotations."
        )
    _require_values(ignore, name, place)
    if isinstance(labels, str):
        raise UsageError(f"The labels are one text, {quoted(labels)}; expected a list with every class name.")
    options = SourceOptions(
        labels=None if labels is None else tuple(labels),
        columns=Columns(path_column, label_column, split_column, group_column, box=box),
        images=None if images is None else Path(images),
        ignore=ignore,
    )
    samples = _read(Origin(place, name, options))
    if task is not None and not any(task in (own, kind_of(own, each)) for own, each in samples.truth.items()):
        raise UsageError(f"{place}, read as {name}, has the truth of {', '.join(samples.truth)}, and none of {task}.")
    return without_small_classes(replace(samples, reading=(*said, *samples.reading)), min_per_class)


def _require_values(ignore: int | None, format: str, place: Path) -> None:
    """Raise UsageError for a value of no class that no pixel has, and where there are no masks whose pixels have values."""
    if ignore is None:
        return
    if not 0 <= ignore <= MOST_VALUE:
        raise UsageError(f"The value of no class is {ignore}; expected 0 to {MOST_VALUE:,}.")
    if not _row(format).has_values:
        raise UsageError(
            f"The value {ignore} is to be of no class, and {place}, read as {format}, has no files of masks whose pixels have "
            "values. Leave it out (--ignore, data.ignore)."
        )


def _existing(place: Path) -> Path:
    if not os.path.lexists(place):
        place = existing_form(place)
    try:
        place.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, PermissionError):
            raise UsageError(f"{place}: no permission to look there.") from error
        formats = ", ".join(SOURCES)
        raise UsageError(
            f"{place}: no such file or folder. Expected a folder, a table or a file of annotations; formats: {formats}."
        ) from error
    return place


def _recognised(place: Path, task: str | None) -> tuple[str, tuple[str, ...]]:
    """The format with the most specific evidence, and a sentence where there are others too."""
    rows = all_rows(SOURCES, group=GROUP, what="format")
    kinds = dict.fromkeys(kind for source in rows.values() for kind in source.kinds)
    named = any(not source.kinds and source.evidence(place) is not None for source in rows.values())
    if task is not None and task not in kinds and not named:  # what names its tasks may call them as it likes
        raise unknown_name("task", task, kinds)
    asked = {name: each for name, each in rows.items() if task is None or not each.kinds or task in each.kinds}
    least = SHAPE if task is None else ASKED
    found = {
        name: evidence
        for name, source in asked.items()
        if (evidence := source.evidence(place)) is not None and evidence >= least
    }
    if not found:
        other = [
            name for name, source in rows.items() if name not in asked and (source.evidence(place) or ASKED) > ASKED
        ]
        if other:
            wanted = "; or ".join(source.expects for source in asked.values() if source.kinds)
            raise UsageError(
                f"{place} can be read as {', '.join(other)}, which says nothing of {task}. Expected {wanted}."
            )
        sheet = " Save the sheet as CSV (UTF-8)." if place.suffix.lower() in (".xlsx", ".xls", ".ods") else ""
        raise UsageError(f"{place}: this kind of file is no source of labelled images. Expected {_expected()}.{sheet}")
    best = [name for name, evidence in found.items() if evidence == max(found.values())]
    if len(best) > 1:
        several = "; or ".join(f"{name} ({rows[name].expects})" for name in best)
        apart = " or, for what it is read, --task" if len({rows[name].kinds for name in best}) > 1 else ""
        raise UsageError(f"{place} can be read as {several}. Say which it is with --format{apart}.")
    others = [name for name, evidence in found.items() if name != best[0] and evidence > ASKED]
    if not others:
        return best[0], ()
    return best[0], (f"Read as {best[0]}, not as {', '.join(others)}; --format says otherwise.",)


def _read(origin: Origin) -> Samples:
    """Raises UsageError for truth that does not fit its task, and for images without any, which no task could learn from."""
    samples = _row(origin.format).read(origin.path, origin.options)
    tasks = all_rows(TASKS, group=TASKS_GROUP, what="kind of task")
    for name, truth in samples.truth.items():
        if name in tasks and not isinstance(truth, tasks[name].truth):
            raise UsageError(
                f"{origin.path}: {origin.format} read {type(truth).__name__} for {name}; expected {tasks[name].truth.__name__}."
            )
    without = np.flatnonzero(~np.any([truth.present for truth in samples.truth.values()], axis=0))
    if len(without):
        some = ", ".join(quoted(samples.paths[index]) for index in without[:3].tolist())
        raise UsageError(
            f"{origin.path}: {len(without):,} of {len(samples):,} images have no truth for any task, such as {some}. Say what is "
            "in them, or take them away."
        )
    return samples if samples.origin is not None else replace(samples, origin=origin)


def _row(name: str) -> Source:
    return row_named(SOURCES, name, group=GROUP, what="format")


def _expected() -> str:
    return "; or ".join(source.expects for source in SOURCES.values())
