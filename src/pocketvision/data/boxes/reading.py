"""Boxes while files are read, whatever their format: images with what is drawn on them, then Samples."""

import math
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.boxes.picture_sizes import stored_sizes
from pocketvision.data.boxes.pictures import Pictures, split_of_path
from pocketvision.data.boxes.problems import PROBLEMS, Problems
from pocketvision.data.boxes.upright import PIXELS, Cut, Upright, cut_boxes, repeated, upright_boxes
from pocketvision.data.class_names import ordered_class_names, spelled
from pocketvision.data.masks.outlines import DrawnMasks, Frames, Outline, Outlines
from pocketvision.data.masks.problems import MASK_PROBLEMS
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.segmentation.truth import SEGMENTATION, MaskLabels
from pocketvision.tasks.truth import Truth

BACKGROUND = "background"
_NAMED = 3
_USUAL = ("not_an_image", "hidden", "system_folder")
"""Left out without a word: files of annotations are no images."""
_COPY = re.compile(r"(.+?)(?:[_.](?:jpe?g|png|bmp|webp|tiff?))?\.rf\.[0-9a-zA-Z]{8,}\.\w+$")
"""Roboflow's augmented copies: `IMG_12_jpg.rf.0a1b….jpg`."""


@dataclass(frozen=True)
class Ending:
    """How the reading of a source ends. names: every class the format lists, in index order; None takes natural order.
    backgrounds: whether pictures that lie beside listed ones, and are not listed, are backgrounds. rest: whether pixels that no
    object covers are of the background; else of no class."""

    labels: Sequence[str] | None = None
    names: Sequence[str] | None = None
    unit: str = PIXELS
    backgrounds: bool = True
    reading: tuple[str, ...] = ()
    rest: bool = True


class NoBoxesError(UsageError):
    """Images without any box, of which nothing can be learned. samples: they; all of them are backgrounds."""

    def __init__(self, message: str, samples: Samples) -> None:
        super().__init__(message)
        self.samples = samples


def with_or_without_boxes(read: Callable[[], Samples]) -> Samples:
    """What is read, where a model may have found nothing, or a person taken everything away."""
    try:
        return read()
    except NoBoxesError as error:
        return error.samples


@dataclass(frozen=True, eq=False)
class Cleaned:
    """boxes: (k, 4) in upright pixels, cut. images: (k) which each is on, ascending. kept: (k) their places among those drawn.
    stored: (n, 3) of the pictures, see stored_sizes."""

    boxes: NDArray[np.float64]
    images: NDArray[np.int64]
    kept: NDArray[np.int64]
    upright: Upright
    stored: NDArray[np.int64]

    def offsets(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n + 1) of things on `images`, ascending."""
        return np.concatenate([[0], np.cumsum(np.bincount(images, minlength=len(self.stored)))])


class Drawn:
    """Grows while files are read. where: the source, for messages. outlines: to make masks of; None makes boxes. Kept in flat
    arrays: some 50 bytes a box."""

    def __init__(self, where: Path, pictures: Pictures, outlines: Outlines | None = None) -> None:
        self.where, self.pictures, self.outlines = where, pictures, outlines
        self.problems = Problems(PROBLEMS if outlines is None else MASK_PROBLEMS)
        self.paths: list[str] = []
        self._rows: dict[tuple[str, int], int] = {}
        self._said, self._splits, self._groups = array("q"), array("b"), array("i")
        self._group_ids: dict[str, int] = {}
        self._classes: dict[str, int] = {}
        self._corners, self._areas = array("d"), array("f")
        self._images, self._kinds, self._flags = array("q"), array("i"), array("B")
        self.listed = self.gone = 0
        self.missing: dict[str, None] = {}

    def image(
        self,
        path: str | None,
        name: str,
        *,
        size: tuple[float, float] | None = None,
        split: int = -1,
        group: str = "",
        again: bool = False,
    ) -> int | None:
        """The row of an image; None where its picture is not there (path None), which is counted. name: as the file has it. size:
        width and height that it says. again: whether images may come several times, once a box."""
        if path is None:
            if name not in self.missing:
                self.listed += 1
                self.gone += 1
                self.missing[name] = None
                self.problems.add("missing_images", name, name)
            return None
        key = (path, split)
        if key in self._rows:
            if not again:
                self.problems.add("repeated_images", name, path)
            return self._rows[key]
        self.listed += 1
        row = self._rows[key] = len(self.paths)
        self.paths.append(path)
        self._said.extend(_whole(size))
        self._splits.append(split)
        self._groups.append(self._group_ids.setdefault(group, len(self._group_ids)) if group else -1)
        return row

    def box(
        self,
        image: int,
        name: str,
        corners: Sequence[float],
        *,
        crowd: bool = False,
        difficult: bool = False,
        area: float = math.nan,
        outline: Callable[[], Outline | None] = lambda: None,
    ) -> None:
        """An object: left, top, right, bottom in the unit of the format, corners in any order. One that is not finite is counted
        and left out. outline: asked for where masks are made."""
        if len(corners) != 4 or not all(map(math.isfinite, corners)):
            self.problems.add("unreadable_box", f"{name} {list(corners)}", self.paths[image])
            return
        self._corners.extend(corners)
        self._areas.append(area)
        self._images.append(image)
        self._kinds.append(self._classes.setdefault(spelled(name), len(self._classes)))
        self._flags.append(crowd + 2 * difficult)
        if self.outlines is not None:
            self.outlines.add(outline())

    def samples(self, ending: Ending) -> Samples:
        """Everything taken in. Raises UsageError where no picture is there or a class is not in the labels, and NoBoxesError."""
        if not self.paths:
            raise self._nothing_there()
        if ending.backgrounds:
            self._add_backgrounds()
        splits = np.array(self._splits, np.int8)
        without = int((splits < 0).sum())
        reading = ending.reading
        if 0 < without < len(splits):
            splits = np.where(splits < 0, 0, splits).astype(np.int8)
            reading = (
                *reading,
                f"{counted(without, 'image')} of no split, beside others that are of one: read as train.",
            )
        cleaned = self._cleaned(ending)
        class_names = self._class_names(ending, np.array(self._kinds, np.int64)[cleaned.kept])
        truth: Truth = (
            self._truth(cleaned, class_names)
            if self.outlines is None
            else self._masks(cleaned, class_names, self.outlines, ending.rest)
        )
        samples = Samples(
            self.pictures.root,
            self.paths,
            {DETECTION if self.outlines is None else SEGMENTATION: truth},
            groups=self._kept_together(),
            splits=splits if (splits >= 0).any() else None,
            left_out=tuple(each for each in self.pictures.counter.result() if each.reason not in _USUAL),
            reading=reading,
            found=self.problems.findings(),
        )
        if not len(cleaned.kept) and ending.labels is None:
            raise NoBoxesError(
                f"{self.where}: none of its {len(self.paths):,} images has any {'box' if self.outlines is None else 'outline'}, "
                f"so there is nothing to learn.{self._why()}",
                samples,
            )
        return samples

    def _cleaned(self, ending: Ending) -> Cleaned:
        """Boxes of upright pictures with the images they are on, and their places among those that were drawn."""
        images = np.array(self._images, np.int64)
        stored = stored_sizes(self.pictures.root / path for path in self.paths)
        said = np.array(self._said, np.int64).reshape(-1, 2)
        drawn = np.array(self._corners, np.float64).reshape(-1, 4)
        upright = upright_boxes(drawn, images, said, stored, ending.unit)
        cut = cut_boxes(upright.boxes, upright.sizes[images])
        kept = np.flatnonzero(cut.kept)
        keys = np.array(self._kinds, np.int64) * 4 + np.array(self._flags, np.int64)
        keys = keys[kept] * len(self.paths) + images[kept]
        again = repeated(cut.boxes[kept], keys)
        self._note(upright, cut, kept[again], images, said, ending.unit)
        kept = kept[~again]
        if self.outlines is not None:
            outlined = self.outlines.has_outline()[kept]
            bare = kept[~outlined]
            if len(bare):
                self._add("no_outline", "", images[bare], len(bare))
            kept = kept[outlined]
        order = np.argsort(images[kept], kind="stable")
        kept = kept[order]
        return Cleaned(cut.boxes[kept], images[kept], kept, upright, stored)

    def _note(
        self,
        upright: Upright,
        cut: Cut,
        again: NDArray[np.int64],
        images: NDArray[np.int64],
        said: NDArray[np.int64],
        unit: str,
    ) -> None:
        of_boxes = {
            "box_outside": cut.outside,
            "no_area": cut.no_area,
            "beyond_border": cut.beyond,
            "reversed_corners": upright.reversed,
            "repeated_boxes": np.isin(np.arange(len(images)), again),
        }
        for kind, marks in of_boxes.items():
            places = np.flatnonzero(marks)
            if len(places):
                corners = ", ".join(f"{side:g}" for side in self._corners[4 * places[0] : 4 * places[0] + 4])
                self._add(kind, corners, images[places], len(places))
        other = "shares_as_pixels" if unit == PIXELS else "pixels_as_shares"
        for kind, marks in (
            (other, upright.other_unit),
            ("turned_images", upright.turned),
            ("unsure_turn", upright.unsure),
        ):
            places = np.flatnonzero(marks)
            if len(places):
                self._add(kind, self.paths[places[0]], places, len(places))
        places = np.flatnonzero(upright.resized)
        if len(places):
            (width, height), (wide, high) = said[places[0]], upright.sizes[places[0]]
            self._add("size_differs", f"{width} x {height}, and it is {wide} x {high}", places, len(places))

    def _add(self, kind: str, example: str, images: NDArray[np.int64], count: int) -> None:
        files = [self.paths[place] for place in dict.fromkeys(images[:1000].tolist())]
        self.problems.add(kind, example, files[0], count)
        for file in files[1:]:
            self.problems.add(kind, example, file, 0)

    def _class_names(self, ending: Ending, kinds: NDArray[np.int64]) -> tuple[str, ...]:
        """In index order: of `labels`, else of the format, else natural; without those that no box is of, unless asked for."""
        found = list(self._classes)
        used = {found[place] for place in np.unique(kinds).tolist()}
        if ending.labels is not None:
            return ordered_class_names(used, ending.labels, str(self.where))
        listed = list(dict.fromkeys(map(spelled, ending.names or ())))
        unused = [name for name in listed if name not in used]
        if unused and used:
            self.problems.add("unused_classes", ", ".join(map(quoted, unused[:_NAMED])), count=len(unused))
        own = [name for name in listed if name in used]
        return (*own, *ordered_class_names(used.difference(own), None, str(self.where)))

    def _why(self) -> str:
        found = self.problems.findings()
        return f" {found[0].message}" if found else " Draw boxes, or name the file that holds them."

    def _truth(self, cleaned: Cleaned, names: tuple[str, ...]) -> BoxLabels:
        boxes, kept = cleaned.boxes, cleaned.kept
        flags, own = np.array(self._flags, np.uint8)[kept], np.array(self._areas, np.float32)[kept]
        columns = {
            "boxes": boxes,
            "classes": self._numbers(kept, names),
            "crowd": (flags & 1).astype(np.bool_),
            "difficult": (flags & 2).astype(np.bool_),
        }
        if np.isfinite(own).any():
            columns["areas"] = np.where(np.isfinite(own), own, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
        return BoxLabels.flat(cleaned.offsets(cleaned.images), columns, names)

    def _masks(self, cleaned: Cleaned, names: tuple[str, ...], outlines: Outlines, rest: bool) -> MaskLabels:
        """What no object covers is the background, the first class, or of none. Pictures of unknown size are told by the
        audit."""
        names = (BACKGROUND, *(name for name in names if name != BACKGROUND))
        columns = {
            "object": cleaned.kept,
            "number": self._numbers(cleaned.kept, names).astype(np.uint8),
            "area": np.prod(cleaned.boxes[:, 2:] - cleaned.boxes[:, :2], axis=1).astype(np.float32),
        }
        turned = cleaned.upright.turned
        sizes = np.where(turned[:, None], cleaned.stored[:, :2], cleaned.upright.sizes)
        turns = np.where(turned, cleaned.stored[:, 2], 1).astype(np.uint8)
        frames = Frames(np.maximum(sizes, 1).astype(np.int64), cleaned.upright.scales, turns)
        truth = MaskLabels.of(DrawnMasks(outlines, Ragged(cleaned.offsets(cleaned.images), columns), frames), names)
        if not rest:
            return truth.without(BACKGROUND)
        return truth if truth.pixels[:, 0].any() else truth.in_classes(names[1:])  # objects may cover all

    def _numbers(self, kept: NDArray[np.int64], names: tuple[str, ...]) -> NDArray[np.int64]:
        """The places in `names` of the classes of boxes."""
        place_of = {name: place for place, name in enumerate(names)}
        places = np.array([place_of.get(name, -1) for name in self._classes] or [0], np.int64)
        return places[np.array(self._kinds, np.int64)[kept]]

    def _add_backgrounds(self) -> None:
        """Pictures in the folders of listed ones that no annotation names, in the split that those of their folder have."""
        splits_of: dict[str, set[int]] = {}
        for path, split in zip(self.paths, self._splits, strict=True):
            splits_of.setdefault(path.rpartition("/")[0], set()).add(split)
        listed = set(self.paths)
        for paths in list(self.pictures.by_name.values()):
            for path in paths:
                folder = path.rpartition("/")[0]
                if path in listed or folder not in splits_of:
                    continue
                splits = splits_of[folder]
                split = next(iter(splits)) if len(splits) == 1 else split_of_path(path)
                if split < 0 and max(splits) >= 0:
                    self.pictures.counter.add("no_split", path)
                    continue
                self.image(path, path, split=split)
                self.problems.add("unlisted_images", path, path)

    def _kept_together(self) -> NDArray[np.int32] | None:
        """The groups that were given, else augmented copies of one picture, told by their names."""
        if self._group_ids:
            return np.array(self._groups, np.int32)
        stems = [found[1] if (found := _COPY.match(path.rpartition("/")[2])) else "" for path in self.paths]
        if not any(stems):
            return None
        ids: dict[str, int] = {}
        return np.array([ids.setdefault(stem, len(ids)) if stem else -1 for stem in stems], np.int32)

    def _nothing_there(self) -> UsageError:
        if not self.gone:
            return UsageError(f"{self.where}: it lists no image. Expected images with boxes.")
        name = next(iter(self.missing))
        return UsageError(
            f"{self.where}: none of its {self.gone:,} pictures is there. {quoted(name)} {self.pictures.cause(name)} "
            f"Paths start at "
            f"{self.pictures.root}; --images FOLDER says where else."
        )


def _whole(size: tuple[float, float] | None) -> tuple[int, int]:
    """A size that a file says; 0, 0 where it says none."""
    if size is None or not all(map(math.isfinite, size)) or min(size) < 1 or max(size) > 1e9:
        return 0, 0
    return round(size[0]), round(size[1])
