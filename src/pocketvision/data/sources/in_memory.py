"""Images handed over from Python: lists of paths and labels, or a data set that gives (picture, truth).

Pictures that are no files are written once as such, PNG without loss, and are then images like all others: for the audit, the
content hashes, the trunk cache, and a training that goes on later.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps

from pocketvision.atomic_files import write_bytes
from pocketvision.csv_text import csv_bytes
from pocketvision.data.embedded_images import EmbeddedImages
from pocketvision.data.row_index import RowIndex
from pocketvision.data.samples import Samples
from pocketvision.data.sources.truth_values import kind_of, values_of
from pocketvision.data.splits import paths_from
from pocketvision.data.table_rows import TableRow
from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.tasks.classification.truth import CLASSIFICATION

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_PICTURE = "a path, a PIL image, the bytes of an image file, or an array (H, W), (H, W, 3) or (H, W, 4) of uint8"


class PictureDataset(Protocol):
    """A data set as torch has it: pairs of a picture and its truth, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """n pictures with their truth. name: what they are called in messages. pairs: both, read one at a time, and once. names: of
    the classes that numbers stand for, None where a number is itself a name. task: the kind of task that the truth is for."""

    name: str
    pairs: Iterable[tuple[Any, Any]]
    names: tuple[str, ...] | None
    task: str = CLASSIFICATION

    def read(self, folder: Path | None = None) -> Samples:
        """All of them as samples, with the classes in the order of `names`, or else in natural order.

        folder: where pictures that are no files are written; None is the cache folder. Paths are relative to the working folder.

        Raises UsageError, with the item's number, for a picture that is none, a truth that is missing or does not fit the
        task, and what a table's rows are refused for.
        """
        values, table = values_of(self.task), Path(self.name)
        pictures = EmbeddedImages(folder)
        index = RowIndex(table, Path.cwd(), pictures=pictures, inside="data", column=values.column(table))
        for number, (picture, truth) in enumerate(self.pairs):
            where = f"{self.name}, item {number}"
            content, path = _content(picture, where)
            if truth is None:
                raise UsageError(f"{where}: it has no truth (None). Give every picture its truth, or leave it out.")
            index.add(TableRow(("item", number), path, values.text(truth, self.names, where), None, None, content))
        return index.samples(self.names)

    def write(self, folder: Path) -> Path:
        """Write into `folder` what they can be read from again: pictures that are no files, and a table. Returns its path."""
        samples, table, cell = self.read(folder), folder / "pictures.csv", values_of(self.task).cell
        rows = ([path, cell(samples, index)] for index, path in enumerate(paths_from(folder, samples)))
        write_bytes(table, b"".join(map(csv_bytes, chain([["path", "label"]], rows))))
        return table

    def reader(self) -> Callable[..., Samples]:
        """They, read once, by the names of classes that are asked for."""
        samples = self.read()
        return lambda *, labels: samples if labels is None else samples.in_classes(tuple(labels))


def given_data(
    data: Any, paths: Iterable[Any] | None, labels: Iterable[Any] | None, task: str | None = None
) -> InMemory | Path:
    """What is handed over from Python, or the path of a source that `data` is.

    paths: files, or pictures themselves; labels: the truth of each. task: the kind that this is for; None takes the one that the
    first truth looks like: a list is one of tags, a number with decimals a number, all else a class (truth_values.py). data: a
    PictureDataset; then labels are its class names in index order, and None takes its `classes`, if it has such.

    Raises UsageError for lists of different lengths or without anything in them, and for what is no data at all.
    """
    if paths is not None:
        if data is not None:
            raise UsageError("There are both data and paths; expected one of them.")
        return _lists(paths, labels, task)
    if data is None:
        raise UsageError("There is no data: name an image folder or a table, or give paths and labels.")
    if isinstance(data, str | os.PathLike):
        return Path(data)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise UsageError(
            f"The data is of the type {type(data).__name__}; expected a path, or a data set with a length and items by number."
        )
    name = type(data).__name__
    if len(data) == 0:
        raise UsageError(f"{name}: the data set is empty; expected pairs of a picture and its truth.")
    names = getattr(data, "classes", None) if labels is None else labels
    listed = None if names is None else tuple(map(str, _listed(names, "labels")))
    return _in_memory(name, _items(data, name), listed, task)


def _in_memory(
    name: str, pairs: Iterator[tuple[Any, Any]], names: tuple[str, ...] | None, task: str | None
) -> InMemory:
    first = next(pairs)
    kind = kind_of(first[1]) if task is None else task
    values_of(kind)
    return InMemory(name, chain([first], pairs), names if values_of(kind).named else None, kind)


def _lists(paths: Iterable[Any], labels: Iterable[Any] | None, task: str | None) -> InMemory:
    if labels is None:
        raise UsageError("There are paths and no labels; expected the class of each in labels=[...].")
    pictures, truths = _listed(paths, "paths"), _listed(labels, "labels")
    if len(pictures) != len(truths):
        raise UsageError(
            f"There are {len(pictures):,} paths and {len(truths):,} labels; expected one label for each path."
        )
    if not pictures:
        raise UsageError("The lists of paths and labels are empty; expected at least one picture of each class.")
    return _in_memory("paths", iter(zip(pictures, truths, strict=True)), None, task)


def _listed(values: Iterable[Any], what: str) -> Sequence[Any]:
    if isinstance(values, str | bytes | os.PathLike) or not isinstance(values, Iterable):
        raise UsageError(f"{what} is {quoted(values)}; expected a list.")
    return list(values)


def _items(data: PictureDataset, name: str) -> Iterator[tuple[Any, Any]]:
    for number in range(len(data)):
        try:
            item = data[number]
        except (OSError, LookupError) as error:
            raise UsageError(f"{name}, item {number}: the data set can not give it ({error!r}).") from error
        if not isinstance(item, Sequence) or isinstance(item, str | bytes) or len(item) != 2:
            found = f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__
            raise UsageError(f"{name}, item {number}: it is {found}; expected the pair (picture, truth).")
        yield item[0], item[1]


def _content(picture: Any, where: str) -> tuple[bytes | None, str]:
    """A file's content and no path, or a path alone."""
    if isinstance(picture, str | os.PathLike):
        return None, os.fsdecode(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture), ""
    image = picture if isinstance(picture, Image.Image) else _of_array(picture, where)
    if image.mode[0] in "IF" and image.mode not in _PNG_MODES:
        raise UsageError(
            f"{where}: the picture has pixels of 32 bits (mode {image.mode}), of which none is known as white."
        )
    try:
        upright = ImageOps.exif_transpose(image)
        file = io.BytesIO()
        (upright if upright.mode in _PNG_MODES else upright.convert("RGB")).save(file, "PNG", compress_level=1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: the picture can not be written as PNG ({error}).") from error
    return file.getvalue(), ""


def _of_array(picture: Any, where: str) -> Image.Image:
    if not hasattr(picture, "__array__"):
        raise UsageError(f"{where}: the picture is of the type {type(picture).__name__}; expected {_PICTURE}.")
    pixels = np.asarray(picture)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not fits or pixels.size == 0:
        raise UsageError(
            f"{where}: the picture is an array {pixels.shape} of {pixels.dtype}; expected {_PICTURE}. A data set for training "
            "here needs no transforms."
        )
    return Image.fromarray(np.ascontiguousarray(pixels))
