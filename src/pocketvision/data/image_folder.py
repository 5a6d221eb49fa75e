"""The image folder: root/class/**/image, or with train/, val/ and test/ above the classes."""

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pocketvision.data.class_names import ordered_class_names, spelled
from pocketvision.data.natural_order import natural_key
from pocketvision.data.samples import SPLIT_NAMES, SPLITS, Samples
from pocketvision.errors import UsageError
from pocketvision.preprocessing import SUFFIXES

# Made by macOS archives and network drives beside the images; they would otherwise become classes.
_NO_CLASSES = frozenset({"__MACOSX", "@eaDir"})


def read_image_folder(root: Path, *, labels: Sequence[str] | None = None) -> Samples:
    """Index every image below `root`: the first folder level names the class, or the second below train/, val/, test/.

    labels: every class name in index order; None takes the folder names (of train/, when there are splits) in natural
    order. Images are told by their suffix, in any case; hidden names are passed over; links are followed, but no real
    folder is read twice for one class. Rows are ordered by split, class and path, never as the file system lists them.

    Raises UsageError when `root` is no folder, can not be read, holds no image in a class folder, mixes split folders
    with others, or has a class that is not among `labels` (or, without them, has no folder in train/).
    """
    top = _list(root)
    splits = _split_folders(root, top)
    levels = {f"{folder}/": _list(root / folder) for folder in splits} or {"": top}
    class_names = _class_names(root, levels, splits, labels)
    index_of = {name: index for index, name in enumerate(class_names)}

    paths: list[str] = []
    label_column, split_column = array("i"), array("b")
    ignored = len(top.images) + top.others
    for prefix, level in levels.items():
        if splits:
            ignored += len(level.images) + level.others
        for folder in sorted(level.folders, key=natural_key):
            before = len(paths)
            ignored += _collect(root, prefix + folder, paths)
            added = len(paths) - before
            label_column.extend(array("i", [index_of[spelled(folder)]]) * added)
            split_column.extend(array("b", [splits.get(prefix[:-1], -1)]) * added)
    if not paths:
        raise _no_images(root, levels)
    return Samples(
        root=root,
        paths=paths,
        labels=np.array(label_column, dtype=np.int32),
        class_names=class_names,
        splits=np.array(split_column, dtype=np.int8) if splits else None,
        ignored_files=ignored,
    )


class _Listing(NamedTuple):
    """What one folder holds, hidden names apart: sub-folders and images by name, sorted, and how many other files."""

    folders: list[str]
    images: list[str]
    others: int


def _list(folder: Path) -> _Listing:
    folders: list[str] = []
    images: list[str] = []
    others = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name in _NO_CLASSES:
                    continue
                if _leads_to_folder(entry):
                    folders.append(name)
                elif name[name.rfind(".") :].lower() in SUFFIXES:
                    # Whatever else is wrong with it (a link to nowhere, a pipe) the audit finds and names.
                    images.append(name)
                else:
                    others += 1
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: no such folder.") from error
    except NotADirectoryError as error:
        raise UsageError(
            f"{folder}: not a folder. Expected a folder with one sub-folder of images per class."
        ) from error
    except OSError as error:
        raise UsageError(f"{folder}: the folder can not be read ({error.strerror}).") from error
    folders.sort()
    images.sort()
    return _Listing(folders, images, others)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where one may not look: not a folder that can be listed
        return False


def _collect(root: Path, class_folder: str, paths: list[str]) -> int:
    """Append every image below root/class_folder to `paths`, folder by folder; return how many files are no images."""
    ignored = 0
    # By identity and not by path: a link to a folder above it would otherwise be followed for ever.
    seen = {_identity(root), _identity((root / class_folder).parent)}
    pending = [class_folder]
    while pending:
        relative = pending.pop()
        folder = root / relative
        if _identity(folder) in seen:
            continue
        seen.add(_identity(folder))
        listing = _list(folder)
        ignored += listing.others
        paths.extend([f"{relative}/{name}" for name in listing.images])
        pending.extend([f"{relative}/{name}" for name in reversed(listing.folders)])
    return ignored


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _split_folders(root: Path, top: _Listing) -> dict[str, int]:
    """The folders of `root` that are splits, as name -> index into SPLITS in that order; empty when they are classes.

    They are splits when nothing else is beside them: "train" beside "bus" and "car" is a class.
    """
    found = {name: SPLIT_NAMES[name.lower()] for name in top.folders if name.lower() in SPLIT_NAMES}
    others = [name for name in top.folders if name not in found]
    kinds = set(found.values())
    if others and not (0 in kinds and len(kinds) > 1):
        return {}
    if others:
        raise UsageError(
            f"{root}: holds the split folders {', '.join(found)} and also {', '.join(others[:4])}. Expected either "
            "split folders alone or class folders alone; move the others elsewhere, or list the images in a CSV table."
        )
    for split in kinds:
        same = [name for name, kind in found.items() if kind == split]
        if len(same) > 1:
            raise UsageError(
                f"{root}: {' and '.join(same)} both mean the split {SPLITS[split]!r}; keep one, or merge them."
            )
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _class_names(
    root: Path, levels: dict[str, _Listing], splits: dict[str, int], labels: Sequence[str] | None
) -> tuple[str, ...]:
    """The classes in index order. A split may lack a class, but not add one to those of train/ (or `labels`)."""
    if labels is None:
        learned = [level for prefix, level in levels.items() if splits.get(prefix[:-1], 0) == 0]
        found = [name for level in learned or levels.values() for name in level.folders]
        labels = ordered_class_names(found, None, str(root))
        if not labels:
            raise _no_images(root, levels)
    for prefix, level in levels.items():
        ordered_class_names(level.folders, labels, str(root / prefix))
    return ordered_class_names([], labels, str(root))


def _no_images(root: Path, levels: dict[str, _Listing]) -> UsageError:
    loose = sum(len(level.images) for level in levels.values())
    folders = sum(len(level.folders) for level in levels.values())
    if loose and not folders:
        found = f"{loose} images but no class folders"
    elif folders:
        found = f"{folders} class folders but no image in them (suffixes: {' '.join(SUFFIXES)})"
    else:
        found = "neither class folders nor images"
    where = " and ".join(str(root / prefix) for prefix in levels)
    return UsageError(f"{where}: {found}. Expected one sub-folder per class, with that class's images in it.")
