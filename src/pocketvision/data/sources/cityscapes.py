"""Cityscapes: leftImg8bit/ beside gtFine/, split by split and city by city (Cordts et al. 2016;
github.com/mcordts/cityscapesScripts)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pocketvision.data.boxes.places import bases
from pocketvision.data.image_files import images_below
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.masks.encoding import Encoding
from pocketvision.data.masks.folder import Masked, samples_of
from pocketvision.data.masks.pairing import Pair, Pairs
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import OWN_FILE, Source
from pocketvision.data.split_folders import split_in_name
from pocketvision.errors import UsageError
from pocketvision.tasks.segmentation.truth import NOTHING, SEGMENTATION

_IMAGES, _ENDING = "leftImg8bit", "_leftImg8bit"
_MASKS = ("gtFine", "gtCoarse")

CLASSES: dict[int, str] = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""The classes that are evaluated, by their ids in `_labelIds.png`; all other ids, 0 to 33, are of no class."""

_IDS = 34


def place_of(path: Path) -> tuple[Path, str] | None:
    """The folder that holds the images' folder and a masks', and the latter's name; None without."""
    if not path.is_dir():
        return None
    for base in bases(path):
        for masks in _MASKS:
            if (base / _IMAGES).is_dir() and (base / masks).is_dir():
                return base, masks
    return None


def read(path: Path, options: SourceOptions) -> Samples:
    """The 19 evaluated classes. Images of the test split, whose masks were never published, are left out where theirs show no
    class. A city is no group: the splits part cities already. Raises UsageError as samples_of does."""
    found = place_of(path)
    if found is None:
        raise UsageError(f"{path}: there is no leftImg8bit/ beside gtFine/ in it.")
    base, masks = found
    counter = LeftOutCounter()
    images = sorted(images_below(base, _IMAGES, counter, passed=set()))
    pairs, without = [], []
    for image in images:
        _, split, *city = image.split("/")[:-1]
        stem = image.rpartition("/")[2].rpartition(".")[0].removesuffix(_ENDING)
        mask = next(_masks_of(base, "/".join((masks, split, *city)), stem, masks), None)
        number = split_in_name(split)
        if mask is None or number == 2:
            without.append(image)
        else:
            pairs.append(Pair(image, mask, -1 if number is None else number))
    reading = ("The 19 classes of Cityscapes that are evaluated; the test split has no published masks.",)
    whole = Pairs(tuple(pairs), tuple(without))
    masked = Masked(
        path, base, whole, encoding=_ENCODING, labels=options.labels, reading=reading, ignore=options.ignore
    )
    return samples_of(masked, counter)


def _masks_of(base: Path, folder: str, stem: str, masks: str) -> Iterator[str]:
    path = f"{folder}/{stem}_{masks}_labelIds.png"
    if (base / path).is_file():
        yield path


def _encoding() -> Encoding:
    greys = np.full(65536, NOTHING, np.uint8)
    greys[list(CLASSES)] = range(len(CLASSES))
    void = tuple(value for value in range(_IDS) if value not in CLASSES)
    return Encoding(tuple(CLASSES.values()), greys, {}, np.zeros(65536, np.bool_), void=void)


_ENCODING = _encoding()

CITYSCAPES = Source(
    expects="a folder with leftImg8bit/ beside gtFine/ (Cityscapes)",
    evidence=lambda path: OWN_FILE if place_of(path) is not None else None,
    kinds=(SEGMENTATION,),
    read=read,
    has_values=True,
)
