"""Which mask belongs to which image: folders of the same stems, or masks beside the images with a word more in their names."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from pocketvision.data.boxes.pictures import split_of_path
from pocketvision.data.boxes.places import files_in, folders_in
from pocketvision.data.image_files import SUFFIXES, images_below
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.natural_order import natural_sorted, words_of
from pocketvision.data.split_folders import is_filler, is_target, may_be_class

_MASK_WORDS = words_of(
    "mask masks seg segmentation segmentations label labels lbl gt groundtruth annotation annotations annot anno trimap trimaps "
    "labelids labeltrainids l target targets segmentationclass"
)
_PICTURE_WORDS = words_of(
    "image images img imgs im picture pictures photo photos rgb sat input inputs jpegimages frames"
)
_FILLERS = words_of("data dataset set png jpg")
_TOKENS = re.compile(r"[A-Za-z]+|\d+")
_GLUED = re.compile(r"(?i)^(train|val|valid|test)(annot|mask|label|gt|seg)s?$")
_LAST = re.compile(r"^(?P<rest>.+?)[ _.\-]+(?P<word>[A-Za-z]+?)(?P<number>[ _\-]?\d{1,3})?$")
_DEEPEST = 3
_LOOKED_AT = 40


@dataclass(frozen=True)
class Pair:
    """An image and its mask, relative to the root with "/" between parts. split: index into SPLITS, -1 for none."""

    image: str
    mask: str
    split: int


@dataclass(frozen=True)
class Pairs:
    """pairs: in natural order of the images. without_mask, without_image, several: paths of what has no partner, or too many."""

    pairs: tuple[Pair, ...]
    without_mask: tuple[str, ...] = ()
    without_image: tuple[str, ...] = ()
    several: tuple[str, ...] = ()


def pairs_in(root: Path, counter: LeftOutCounter) -> Pairs:
    """All below a folder. What is neither image nor mask by its name is an image."""
    paths = natural_sorted(images_below(root, "", counter, passed=set(), skip_unreadable=True))
    return paired(paths)


def paired(paths: Sequence[str]) -> Pairs:
    """Of images and masks by their paths: of the same stem, masks' words aside, in folders of the same names, those that say
    what lies in them aside; else by the stem alone, where one image has it."""
    stems = {(folder_key(path), PurePosixPath(path).stem.casefold()) for path in paths if not in_mask_folder(path)}
    masks = [path for path in paths if in_mask_folder(path) or _is_beside(path, stems)]
    chosen = set(masks)
    images = [path for path in paths if path not in chosen]
    by_place: dict[tuple[str, str], list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in images:
        for stem in stems_of(image, _PICTURE_WORDS):
            by_place[folder_key(image), stem].append(image)
            by_stem[stem].append(image)
    mask_of: dict[str, str] = {}
    alone: list[str] = []
    several: list[str] = []
    for mask in masks:
        own = _partner(mask, by_place, by_stem)
        if own is None:
            alone.append(mask)
        elif own in mask_of:
            several.append(mask)
        else:
            mask_of[own] = mask
    pairs = tuple(Pair(image, mask_of[image], split_of_path(image)) for image in images if image in mask_of)
    return Pairs(pairs, tuple(each for each in images if each not in mask_of), tuple(alone), tuple(several))


def _partner(mask: str, by_place: dict[tuple[str, str], list[str]], by_stem: dict[str, list[str]]) -> str | None:
    key = folder_key(mask)
    for stem in stems_of(mask, _MASK_WORDS):
        found = by_place.get((key, stem)) or by_stem.get(stem, [])
        if len(found) == 1 or (found and found is by_place.get((key, stem))):
            return found[0]
    return None


def is_folder_of_pairs(path: Path) -> bool:
    """Whether masks of images lie below a folder; of each folder that could hold some, a few files are looked at."""
    if not path.is_dir():
        return False
    looked = [name for folder in _folders(path) for name in _some(path, folder)]
    if not any(in_mask_folder(name) or _has_mask_word(name) for name in looked):
        return False
    found = paired(looked)
    if _may_be_classes(found.pairs):
        return False
    masks = len(found.pairs) + len(found.without_image)
    return len(found.pairs) > 0 and 2 * len(found.pairs) >= masks and len(found.pairs) >= len(found.several)


def _may_be_classes(pairs: Sequence[Pair]) -> bool:
    """Whether all lie in two folders each, of which neither says that it holds pictures: "mask" beside "helmet"."""
    stems: dict[tuple[str, str], list[str]] = defaultdict(list)
    for pair in pairs:
        image, mask = PurePosixPath(pair.image), PurePosixPath(pair.mask)
        stems[mask.parent.name, image.parent.name].append(mask.stem)
    return all(
        target != other and not is_filler(other) and may_be_class(target, other, own)
        for (target, other), own in stems.items()
    )


def _folders(path: Path, depth: int = 0) -> Iterator[Path]:
    yield path
    if depth < _DEEPEST:
        for folder in islice(folders_in(path), _LOOKED_AT):
            yield from _folders(folder, depth + 1)


def _some(root: Path, folder: Path) -> Iterator[str]:
    for file in files_in(folder, tuple(SUFFIXES), _LOOKED_AT):
        yield file.relative_to(root).as_posix()


def in_mask_folder(path: str) -> bool:
    """Whether one of its folders says that masks lie in it."""
    return any(is_target(part) or _GLUED.match(part) for part in PurePosixPath(path).parts[:-1])


def _is_beside(path: str, stems: set[tuple[str, str]]) -> bool:
    """Whether its name is another's with a word of masks more."""
    if not _has_mask_word(path):
        return False
    own = PurePosixPath(path).stem.casefold()
    for stem in stems_of(path, _MASK_WORDS):
        if stem != own and any((folder_key(path), each) in stems for each in (stem, *_with_picture_words(stem))):
            return True
    return False


def _has_mask_word(path: str) -> bool:
    found = _LAST.match(PurePosixPath(path).stem)
    return found is not None and found["word"].casefold() in _MASK_WORDS


def _with_picture_words(stem: str) -> Iterator[str]:
    for word in _PICTURE_WORDS:
        yield f"{stem}_{word}"


def stems_of(path: str, words: frozenset[str]) -> Iterator[str]:
    """What an image may be called by: the whole stem, and without one of the words at its end."""
    stem = PurePosixPath(path).stem.casefold()
    yield stem
    found = _LAST.match(stem)
    if found is not None and found["word"] in words:
        yield found["rest"]
        if found["number"]:
            yield found["rest"] + found["number"]
    first = _TOKENS.match(stem)  # mask_001
    if first is not None and first[0] in words and stem[first.end() : first.end() + 1] in ("_", "-", " "):
        yield stem[first.end() + 1 :]


def folder_key(path: str) -> str:
    """The folders of a path without what says that images or masks lie in them."""
    kept = []
    for part in PurePosixPath(path).parts[:-1]:
        glued = _GLUED.match(part)
        tokens = [glued[1].casefold()] if glued else [each.casefold() for each in _TOKENS.findall(part)]
        left = [each for each in tokens if each not in (*_MASK_WORDS, *_PICTURE_WORDS, *_FILLERS)]
        if left:
            kept.append("_".join(left))
    return "/".join(kept)
