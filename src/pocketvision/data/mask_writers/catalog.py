"""The table of forms that masks are written in, and how a folder of one is made: whole, or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pocketvision.data.samples import SPLITS, Samples
from pocketvision.errors import ImageError, PocketVisionError, UsageError, unknown_name
from pocketvision.json_text import json_text
from pocketvision.printable import counted
from pocketvision.tasks.segmentation.forms import png
from pocketvision.tasks.segmentation.outlines import outlines_of
from pocketvision.tasks.segmentation.truth import NOTHING, SEGMENTATION, Mask, MaskLabels

Write = Callable[[Path, MaskLabels, Sequence["Copied"]], None]


@dataclass(frozen=True)
class WrittenMasks:
    """images with their masks that were written; lines: what was not, and why."""

    folder: Path
    images: int
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copied:
    """An image that is written: its place in the truth, its split or "", and the name of its copy."""

    index: int
    split: str
    name: str

    @property
    def stem(self) -> str:
        """Without its suffix; no two have the same."""
        return PurePosixPath(self.name).stem

    def folder(self, kind: str) -> str:
        """Where it lies: kind/, or SPLIT/kind/."""
        return f"{self.split}/{kind}" if self.split else kind


def write_masks(samples: Samples, target: str, out: Path) -> WrittenMasks:
    """Write the masks of samples, with copies of their images, in the form `target` into a new folder.

    png: images/ beside masks/, whose values are places in classes.txt, 255 for no class. coco: the same images, and for each
    split a JSON of polygons along the pixels' edges. Raises UsageError for another target, samples without masks, and a folder
    that holds anything; PocketVisionError where it can not be written. Nothing is left there then.
    """
    if target not in MASK_WRITERS:
        raise unknown_name("form to write masks in", target, MASK_WRITERS)
    truth = samples.truth.get(SEGMENTATION)
    if not isinstance(truth, MaskLabels):
        raise UsageError(f"{samples.root}: it has the truth of {', '.join(samples.truth)}, and no masks to write.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already, and nothing is ever overwritten. Name a new folder.")
    copies = _copies(samples, truth)
    lines = []
    if left := len(samples) - len(copies):
        lines.append(f"Left out: {counted(left, 'image')} without a mask.")
    if target == "coco" and truth.pixels[:, -1].any():
        lines.append("Not said: which pixels are of no class; COCO has no word for them, and they read as background.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name[:40]}.", suffix=".part"))
        try:
            for each in copies:
                place = temporary / each.folder("images") / each.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(samples.file(each.index), place)
            MASK_WRITERS[target](temporary, truth, copies)
            temporary.chmod(0o755)
            temporary.replace(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except (OSError, ImageError) as error:
        raise PocketVisionError(f"{out}: it can not be written ({error}).") from error
    return WrittenMasks(out, len(copies), tuple(lines))


def _copies(samples: Samples, truth: MaskLabels) -> list[Copied]:
    taken: set[str] = set()
    found = []
    for index in np.flatnonzero(truth.present).tolist():
        name = PurePosixPath(samples.paths[index]).name
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        free, number = stem, 1
        while free.casefold() in taken:
            number += 1
            free = f"{stem}_{number}"
        taken.add(free.casefold())
        split = "" if samples.splits is None else SPLITS[samples.splits[index]]
        found.append(Copied(index, split, f"{free}{suffix}"))
    return found


def _png(folder: Path, truth: MaskLabels, copies: Sequence[Copied]) -> None:
    text = "".join(f"{name}\n" for name in truth.class_names)
    (folder / "classes.txt").write_text(text, encoding="utf-8", errors="surrogateescape")
    for each in copies:
        place = folder / each.folder("masks") / f"{each.stem}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(truth.mask(each.index)))


def _coco(folder: Path, truth: MaskLabels, copies: Sequence[Copied]) -> None:
    """Every class is a category from 1 on, the background among them; each of its regions an annotation."""
    (folder / "annotations").mkdir()
    categories = [{"id": place, "name": name} for place, name in enumerate(truth.class_names, 1)]
    for split in dict.fromkeys(each.split for each in copies):
        images, annotations = [], list[dict[str, Any]]()
        for number, each in enumerate((each for each in copies if each.split == split), 1):
            mask = truth.mask(each.index)
            height, width = mask.shape
            images.append({"id": number, "file_name": each.name, "width": width, "height": height})
            annotations += _annotations(mask, number, len(annotations))
        document = {"images": images, "annotations": annotations, "categories": categories}
        file = folder / "annotations" / f"instances{split and '_'}{split}.json"
        file.write_text(json_text(document) + "\n", encoding="utf-8", errors="surrogateescape")


def _annotations(mask: Mask, image: int, before: int) -> list[dict[str, Any]]:
    """One a class, with all its outlines: where some are holes, runs of pixels."""
    found: list[dict[str, Any]] = []
    for place in np.unique(mask[mask != NOTHING]).tolist():
        marks = mask == place
        down, across = np.nonzero(marks)
        left, top = int(across.min()), int(down.min())
        box = [left, top, int(across.max()) + 1 - left, int(down.max()) + 1 - top]
        lines = [*outlines_of(marks)]
        has_holes = any(_area(line) < 0 for line in lines)
        shape: Any = [[side for corner in line for side in corner] for line in lines]
        found.append(
            {
                "id": before + len(found) + 1,
                "image_id": image,
                "category_id": place + 1,
                "bbox": box,
                "area": int(marks.sum()),
                "iscrowd": int(has_holes),
                "segmentation": _runs(marks) if has_holes else shape,
            }
        )
    return found


def _area(line: list[tuple[int, int]]) -> int:
    """Twice the area within a closed line, above 0 where it goes clockwise as one sees it."""
    following = line[1:] + line[:1]
    return sum(x * down - across * y for (x, y), (across, down) in zip(line, following, strict=True))


def _runs(marks: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, Any]:
    flat = marks.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(np.int8)))
    counts = np.diff(np.concatenate([[0], edges, [len(flat)]]))
    return {"size": list(marks.shape), "counts": counts.tolist()}


MASK_WRITERS: dict[str, Write] = {"png": _png, "coco": _coco}
