"""The table of formats that boxes are written in, and how a folder of one is made: whole, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketvision.data.box_writers.coco import COCO
from pocketvision.data.box_writers.labelme import LABELME
from pocketvision.data.box_writers.voc import VOC
from pocketvision.data.box_writers.writer import Picture, Writer
from pocketvision.data.box_writers.yolo import YOLO
from pocketvision.data.boxes.picture_sizes import stored_sizes
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.errors import PocketVisionError, UsageError, unknown_name
from pocketvision.preprocessing.rgb import SIDEWAYS
from pocketvision.printable import counted
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels

WRITERS: dict[str, Writer] = {"coco": COCO, "yolo": YOLO, "voc": VOC, "labelme": LABELME}


@dataclass(frozen=True)
class Written:
    """images and boxes that were written; lines: what was not, and why."""

    folder: Path
    images: int
    boxes: int
    lines: tuple[str, ...] = ()


def write_boxes(samples: Samples, target: str, out: Path) -> Written:
    """Write the boxes of samples, with copies of their pictures, as the format `target` into a new folder.

    The pictures keep their bytes and names; of two of one name the later gets a number. What the format can not say is told, and
    left out where it would become something else: crowds where there are none would be objects.

    Raises UsageError for a target that WRITERS has not, samples without boxes, and a folder that holds anything;
    PocketVisionError where it can not be written. Nothing is left there then.
    """
    require_new(out, target)
    truth = samples.truth.get(DETECTION)
    if not isinstance(truth, BoxLabels):
        raise UsageError(f"{samples.root}: it has the truth of {', '.join(samples.truth)}, and no boxes to write.")
    writer = WRITERS[target]
    truth, lines = _sayable(truth, writer, target)
    pictures = list(_pictures(samples, truth, writer))
    if samples.groups is not None and (samples.groups >= 0).any():
        lines.append("Not said: which images are of one group, which no format has a word for.")
    if left := int(truth.present.sum()) - len(pictures):
        lines.append(f"Left out: {counted(left, 'picture')} that can not be read; `pocketvision check` names them.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name[:40]}.", suffix=".part"))
        try:
            for picture in pictures:
                place = temporary / picture.path
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(samples.file(picture.index), place)
            writer.write(temporary, truth, pictures)
            temporary.chmod(0o755)
            temporary.replace(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise PocketVisionError(f"{out}: it can not be written ({error.strerror or error}).") from error
    boxes = sum(int(truth.rows.lengths[picture.index]) for picture in pictures)
    return Written(out, len(pictures), boxes, tuple(lines))


def require_new(out: Path, target: str) -> None:
    """Raises UsageError for a target that WRITERS has not, and a folder that holds anything."""
    if target not in WRITERS:
        raise unknown_name("format to write", target, WRITERS)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already, and nothing is ever overwritten. Name a new folder.")


def _sayable(truth: BoxLabels, writer: Writer, target: str) -> tuple[BoxLabels, list[str]]:
    """The boxes that the format can say, and sentences about the others."""
    lines = []
    columns = truth.rows.columns
    if not writer.crowds and (count := int(columns["crowd"].sum())):
        kept = np.flatnonzero(~columns["crowd"])
        lengths = np.bincount(truth.images[kept], minlength=len(truth))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        truth = BoxLabels.flat(
            offsets, {name: column[kept] for name, column in columns.items()}, truth.class_names, truth.present
        )
        lines.append(f"Left out: {counted(count, 'crowd')}, which {target} has no word for.")
    if not writer.difficult and (count := int(truth.rows.columns["difficult"].sum())):
        lines.append(f"Not said: which objects are difficult ({count:,}), which {target} has no word for.")
    if not writer.scores and "scores" in columns:
        lines.append(f"Not said: scores, which {target} has no word for.")
    if unseen := int((~truth.present).sum()):
        lines.append(f"Left out: {counted(unseen, 'picture')} that nobody looked at.")
    return truth, lines


def _pictures(samples: Samples, truth: BoxLabels, writer: Writer) -> Iterator[Picture]:
    taken: set[str] = set()
    looked = np.flatnonzero(truth.present).tolist()
    sizes = stored_sizes(samples.file(index) for index in looked)
    for index, (width, height, orientation) in zip(looked, sizes.tolist(), strict=True):
        if not width:
            continue
        split = "" if samples.splits is None else SPLITS[samples.splits[index]]
        name = _free_name(samples.paths[index].rpartition("/")[2], taken)
        size = (height, width) if orientation in SIDEWAYS else (width, height)
        yield Picture(index, f"{writer.folder(split)}/{name}", split, size)


def _free_name(name: str, taken: set[str]) -> str:
    """A name whose stem, in small letters, no other picture has."""
    stem, dot, suffix = name.rpartition(".")
    stem, suffix = (stem, suffix) if dot and stem else (name, "")
    free, number = stem, 1
    while free.casefold() in taken:
        number += 1
        free = f"{stem}_{number}"
    taken.add(free.casefold())
    return f"{free}.{suffix}" if suffix else free
