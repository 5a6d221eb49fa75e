"""Folders that are splits, or pictures and their masks, and not classes: recognised by their names and by what lies in them."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from pocketvision.data.natural_order import words_of
from pocketvision.data.samples import SPLIT_NAMES, SPLITS
from pocketvision.errors import UsageError
from pocketvision.printable import quoted

# "TrainData", "train_data", "01 train", "train2017": runs of letters, parted where a small one meets a capital.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
# Words beside a split's name that say nothing of their own.
_FILLERS = words_of(
    "data dataset datasets set sets split images image imgs img pictures photos samples examples folder files"
)
# Written together, as one word.
_ENDINGS = ("set", "sets", "data", "dataset", "images", "imgs", "dir")
_JOINED = {f"{split}{more}": kind for split, kind in SPLIT_NAMES.items() for more in _ENDINGS}
_UNLABELLED = words_of("pred predict prediction predictions unlabeled unlabelled unsup unsupervised")
_PICTURES = words_of("image images img imgs jpegimages picture pictures photo photos rgb frames input inputs")
_TARGETS = words_of(
    "mask masks label labels annotation annotations segmentation segmentations segmentationclass segmentationobject "
    "groundtruth groundtruths gt target targets imagesets bboxes xml xmls annots json"
)

_OBJECTS = (("mask",), ("label",), ("target",))
"""Targets that are things too."""


@dataclass(frozen=True)
class SplitFolders:
    """Folder name -> index into SPLITS, in that order; `unlabelled` are folders beside them without classes."""

    splits: Mapping[str, int]
    unlabelled: tuple[str, ...] = ()


def split_folders(
    where: object, folders: Sequence[str], labels: Sequence[str] | None, below: Mapping[str, Set[str]]
) -> SplitFolders:
    """Which of the folders of one level are splits; none when all are classes.

    where: the level, for messages. labels: names that are classes for certain: folders that are all among them are never
    splits. below: the sub-folders of each, the evidence where names alone do not decide.

    They are splits when each names one, no two the same, and nothing else stands in their names but numbers, fillers
    (data, set, images) or the same words in all: train and test, 01_train and 02_val, seg_train and seg_test. A name
    such as "train" beside "bus" and "car" is a class. Raises UsageError where folders look like splits, or like pictures
    and masks, but can not be read as them.
    """
    if labels is not None and set(folders) <= set(labels):
        return SplitFolders({})
    refuse_masks(where, folders)
    found = {name: split for name in folders if (split := split_in_name(name)) is not None}
    others = [name for name in folders if name not in found]
    rests = {name: _rest(name) for name in found}
    kinds = set(found.values())
    if others:
        plain = {name: kind for name, kind in found.items() if not rests[name]}
        if not (0 in kinds and len(kinds) > 1) or (len(plain) < len(found) and len(set(rests.values())) > 1):
            return SplitFolders({})
        if not all(set(words(name)) & _UNLABELLED for name in others):
            raise _mixed(where, list(found), others)
    elif len(kinds) == 1 and len(found) > 1 and len(set(rests.values())) == len(found) and all(rests.values()):
        return SplitFolders({})  # test_positive and test_negative: a word that all classes share
    elif len(found) == 1 and _is_lone_class(next(iter(found)), below):
        return SplitFolders({})
    _refuse_doubled(where, found)
    if len(set(rests.values())) > 1 and not _same_below(list(found), below):
        raise _unsure(where, list(found))
    return SplitFolders(dict(sorted(found.items(), key=lambda item: item[1])), tuple(others))


def split_in_name(name: str) -> int | None:
    """The split that `name` names, as an index into SPLITS; None when it names none, or several."""
    kinds = {kind for word in words(name) if (kind := _split_of_word(word)) is not None}
    if kinds == {0, 1}:  # trainval: what is learned from, validation included
        return 0
    return kinds.pop() if len(kinds) == 1 else None


def words(name: str) -> tuple[str, ...]:
    """The words of a folder's name in lower case, without its numbers."""
    return tuple(word.casefold() for word in _WORDS.findall(name))


def is_target(name: str) -> bool:
    """Whether a folder's name says that masks, labels or annotations of pictures lie in it."""
    return _all_in(name, _TARGETS)


def may_be_class(target: str, other: str, stems: Iterable[str]) -> bool:
    """Whether a folder whose name says masks or labels may be a class beside another one. stems: of the files that both hold."""
    if "".join(words(target)) in "".join(words(other)):  # "mask" beside "no mask"
        return True
    return words(target) in _OBJECTS and all(stem.isdigit() for stem in stems)  # "mask" beside "helmet", numbered each


def is_filler(name: str) -> bool:
    """Whether a folder's name says nothing but that pictures or data lie in it."""
    return all(word in _FILLERS or word in _PICTURES for word in words(name))


def _split_of_word(word: str) -> int | None:
    return SPLIT_NAMES.get(word, _JOINED.get(word, 0 if word == "trainval" else None))


def _rest(name: str) -> tuple[str, ...]:
    """The words of a name that are neither a split's nor fillers."""
    return tuple(word for word in words(name) if _split_of_word(word) is None and word not in _FILLERS)


def _is_lone_class(name: str, below: Mapping[str, Set[str]]) -> bool:
    """One folder alone, such as "test_images": a split when its name is a plain one or it holds several folders."""
    return name.lower() not in SPLIT_NAMES and len(below.get(name, ())) < 2


def _same_below(folders: Sequence[str], below: Mapping[str, Set[str]]) -> bool:
    """Whether all the folders hold sub-folders of the same names, at least two: those are the classes."""
    return len(set.intersection(*(set(below.get(name, ())) for name in folders))) > 1


def _refuse_doubled(where: object, found: Mapping[str, int]) -> None:
    for kind in set(found.values()):
        same = [name for name, other in found.items() if other == kind]
        if len(same) > 1:
            raise UsageError(
                f"{where}: {' and '.join(same[:4])} both mean the split {SPLITS[kind]!r}; keep one, or merge them. "
                f"{_classes_hint(list(found))}"
            )


def refuse_masks(where: object, folders: Sequence[str]) -> None:
    """Raise UsageError when the folders of a level are pictures beside their masks, labels or annotations."""
    pictures = [name for name in folders if _all_in(name, _PICTURES)]
    targets = [name for name in folders if _all_in(name, _TARGETS)]
    if targets and (pictures or len(targets) > 1) and len(pictures) + len(targets) == len(folders):
        raise UsageError(
            f"{where}: the folders {', '.join(map(quoted, folders[:6]))} look like pictures with their masks, labels or "
            "annotations, which is data for detection or segmentation. A classifier needs one folder a class, or a table "
            f"with the columns path and label. {_classes_hint(folders)}"
        )


def _all_in(name: str, kind: Set[str]) -> bool:
    """Whether a name is of a kind, splits' names and pictures' aside: masks, train_masks, image_labels, JPEGImages."""
    rest = [word for word in words(name) if _split_of_word(word) is None]
    mine = [word for word in rest if word in kind]
    return "".join(rest) in kind or (bool(mine) and all(word in kind or word in _PICTURES for word in rest))


def _mixed(where: object, found: Sequence[str], others: Sequence[str]) -> UsageError:
    return UsageError(
        f"{where}: holds the split folders {', '.join(found)} and also {', '.join(map(str, others[:4]))}. Expected either "
        "split folders alone or class folders alone; move the others elsewhere, or list the images in a CSV table. "
        f"{_classes_hint([*found, *others])}"
    )


def _unsure(where: object, found: Sequence[str]) -> UsageError:
    return UsageError(
        f"{where}: the folders {' and '.join(map(quoted, found))} look like splits, but their names differ in more than "
        f"that, and they do not hold the same class folders. If they are splits, call them train, val and test. "
        f"{_classes_hint(found)}"
    )


def _classes_hint(folders: Sequence[str]) -> str:
    if len(folders) > 6:
        return "If they are classes, name them all with --labels."
    names = ",".join(f'"{name}"' if "," in name or '"' in name else name for name in folders)
    return f"If they are classes, say so: --labels '{names}'."
