"""The truth of detection: the objects of each image, a box and a class each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.tasks.ragged import Ragged

DETECTION = "detection"
"""The task's name where it has no other."""

LEAST_VISIBLE = 0.25
"""The share of an object's box that has to be left within a view; of less, nobody could say what it is."""

COLUMNS: dict[str, type] = {
    "boxes": np.float64,
    "classes": np.int16,
    "crowd": np.bool_,
    "difficult": np.bool_,
    "areas": np.float32,
    "scores": np.float32,
}
"""Kinds of numbers by column: 36 bytes an object, 40 where a source gives areas, or where they are answers with scores.

Boxes in float64: files say them in decimals, COCO's measure compares their areas with 32 x 32 and 96 x 96 exactly, and two that
are equal there are to be equal here. A float32 would save 16 bytes and move a tie.
"""

MOST_CLASSES = int(np.iinfo(np.int16).max)


@dataclass(frozen=True, eq=False)
class BoxLabels:
    """Of n images the objects, m in all.

    rows: n rows with the columns `boxes` (m, 4): left, top, right, bottom in pixels of the upright image (Placement says how they
    are counted), within it and with an area; `classes` (m): index into class_names; `crowd` (m): a region of many objects that
    nobody counted (COCO's iscrowd, Open Images' IsGroupOf), in which an answer is neither right nor wrong; `difficult` (m): an
    object that VOC neither asks for nor counts; and, where a source says so, `areas` (m): the object's own, which COCO sorts
    small ones from large ones by, in square pixels; and, where they are answers that somebody is to correct, `scores` (m).

    present: (n) whether anybody looked: an image without objects is an answer too, a background. class_names: in index order.
    """

    rows: Ragged
    present: NDArray[np.bool_]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        columns = self.rows.columns
        absent = [name for name in ("boxes", "classes", "crowd", "difficult") if name not in columns]
        if absent or len(self.present) != len(self.rows) or columns["boxes"].shape[1:] != (4,):
            raise ValueError(
                f"Not boxes of {len(self.present)} images: {dict(columns).keys()} of {len(self.rows)} rows"
            )
        classes = columns["classes"]
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(self.class_names):
            found = f"{classes.min()} to {classes.max()}"
            raise ValueError(f"Classes go from {found}; expected 0 to {len(self.class_names) - 1}.")

    @classmethod
    def of(
        cls, rows: Sequence[tuple[Sequence[Sequence[float]], Sequence[int]]], class_names: tuple[str, ...]
    ) -> "BoxLabels":
        """From each image's boxes and their classes, none of them crowds. Raises UsageError for too many classes."""
        lengths = [len(classes) for _, classes in rows]
        boxes = np.concatenate(
            [np.zeros((0, 4)), *(np.reshape(np.asarray(each, np.float64), (-1, 4)) for each, _ in rows)]
        )
        classes = np.array([place for _, row in rows for place in row], np.int64)
        return cls.flat(np.cumsum([0, *lengths]), {"boxes": boxes, "classes": classes}, class_names)

    @classmethod
    def flat(
        cls,
        offsets: NDArray[np.integer[Any]],
        columns: dict[str, NDArray[Any]],
        class_names: tuple[str, ...],
        present: NDArray[np.bool_] | None = None,
    ) -> "BoxLabels":
        """From the columns of all images together; those of flags may be absent, and present is then all of them. Raises
        UsageError for more classes than MOST_CLASSES."""
        if len(class_names) > MOST_CLASSES:
            raise UsageError(
                f"There are {len(class_names):,} classes of objects; at most {MOST_CLASSES:,} can be told apart."
            )
        count = len(columns["classes"])
        whole = {"crowd": np.zeros(count, np.bool_), "difficult": np.zeros(count, np.bool_), **columns}
        held: dict[str, NDArray[Any]] = {name: np.asarray(column, COLUMNS[name]) for name, column in whole.items()}
        looked = np.ones(len(offsets) - 1, np.bool_) if present is None else present
        return cls(Ragged(np.asarray(offsets, np.int64), held), looked, class_names)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(m, 4) of all images together."""
        return self.rows.columns["boxes"]

    @property
    def classes(self) -> NDArray[np.int16]:
        """(m) of all images together."""
        return self.rows.columns["classes"]

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """(m) in which image each object is."""
        return np.repeat(np.arange(len(self)), self.rows.lengths)

    @cached_property
    def strata(self) -> Ragged:
        """What each image holds of what a split shares out evenly: its objects by class (crowds aside), the image itself, and
        that it is a background."""
        counted, classes = ~self.rows.columns["crowd"], len(self.class_names)
        background = np.flatnonzero(self.present & (self.rows.lengths == 0))
        images = np.concatenate([self.images[counted], np.arange(len(self)), background])
        kinds = np.concatenate(
            [self.classes[counted], np.full(len(self), classes), np.full(len(background), classes + 1)]
        ).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(images, minlength=len(self)))])
        return Ragged(offsets.astype(np.int64), {"stratum": kinds[np.argsort(images, kind="stable")]})

    def class_counts(self) -> NDArray[np.int64]:
        """(classes) in how many images each is."""
        pairs = (
            np.unique(self.images * len(self.class_names) + self.classes) if self.class_names else np.zeros(0, np.int64)
        )
        return np.bincount(pairs % max(len(self.class_names), 1), minlength=len(self.class_names)).astype(np.int64)

    def box_counts(self) -> NDArray[np.int64]:
        """(classes) how many objects each has, crowds not among them."""
        counted = self.classes[~self.rows.columns["crowd"]]
        return np.bincount(counted, minlength=len(self.class_names)).astype(np.int64)

    def select(self, indices: NDArray[np.int64]) -> "BoxLabels":
        """Those of the images at `indices`, integers in any order."""
        return replace(self, rows=self.rows.select(indices), present=self.present[indices])

    def aligned(self, rows: NDArray[np.int64]) -> "BoxLabels":
        """Those of other images: (k) which image here each is, or -1 for one that nobody looked at."""
        return replace(self, rows=self.rows.aligned(rows), present=np.append(self.present, False)[rows])

    def through(self, index: int, placement: Placement, least_visible: float = LEAST_VISIBLE) -> "BoxLabels":
        """Those of image `index` alone, in the pixels of the input, cut at its border.

        An object of whose box less than `least_visible` is left there is gone; a crowd stays as long as any of it is. Own areas
        are left behind: they hold for the whole image.
        """
        row = self.rows.row(index)
        moved = placement.boxes_to_input(row["boxes"])
        cut = within(moved, placement.input_size)
        shares = areas(cut) / np.maximum(areas(moved), np.finfo(np.float64).tiny)
        stays = np.where(row["crowd"], shares > 0, (shares >= least_visible) & (shares > 0))
        columns = {name: column[stays] for name, column in {**row, "boxes": cut}.items() if name != "areas"}
        rows = Ragged(np.array([0, int(stays.sum())]), columns)
        return replace(self, rows=rows, present=self.present[[index]])

    def in_classes(self, class_names: tuple[str, ...]) -> "BoxLabels":
        """The same by another list of class names. Raises UsageError where a class with objects is not among them."""
        if class_names == self.class_names:
            return self
        counts, place_of = self.class_counts().tolist(), {name: place for place, name in enumerate(class_names)}
        for name, count in zip(self.class_names, counts, strict=True):
            if count and name not in place_of:
                raise unknown_name(f"class ({count} images)", name, class_names)
        places = np.array([place_of.get(name, -1) for name in self.class_names], np.int64)
        columns = {**self.rows.columns, "classes": places[self.classes]}
        return self.flat(self.rows.offsets, columns, class_names, self.present)

    def said(self, index: int) -> bytes:
        """The names and boxes of its objects, in an order that is theirs; nothing of an image that nobody looked at."""
        if not self.present[index]:
            return b""
        row = self.rows.row(index)
        flags = (row["crowd"].astype(np.uint8) + 2 * row["difficult"].astype(np.uint8)).tolist()
        names = (self.class_names[place].encode("utf-8", "surrogatepass") for place in row["classes"].tolist())
        boxes = (box.tobytes() for box in row["boxes"])
        return b"boxes:" + b"\0".join(sorted(b"%b=%d%b" % each for each in zip(names, flags, boxes, strict=True)))


def joined(parts: Sequence[BoxLabels]) -> BoxLabels:
    """The objects of several parts of one input, such as the four of a mosaic, as those of one image. parts: at least one, of one
    image and the same classes each, in the input's pixels; without own areas."""
    names = [name for name in parts[0].rows.columns if name != "areas"]
    columns = {name: np.concatenate([part.rows.columns[name] for part in parts]) for name in names}
    present = np.array([any(bool(part.present.any()) for part in parts)])
    return replace(parts[0], rows=Ragged(np.array([0, len(columns["classes"])]), columns), present=present)


def areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m) square pixels of boxes (m, 4); 0 for one that is turned inside out."""
    sides: NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def within(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The part of each box (m, 4) that lies in an image of `size` (width, height)."""
    return np.clip(boxes, 0, np.array([*size, *size], np.float64))
