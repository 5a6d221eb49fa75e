"""Where the class folders of an image folder are: at its top, below splits, above splits, or below a lone folder."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pocketvision.data.class_names import spelled
from pocketvision.data.image_files import Listing, images_below, is_skipped_folder, list_folder
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.natural_order import natural_key
from pocketvision.data.samples import SPLITS
from pocketvision.data.split_folders import (
    is_filler,
    is_target,
    may_be_class,
    refuse_masks,
    split_folders,
    split_in_name,
)
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted

_DEEPEST = 8  # levels of lone folders that are gone down
_BATCH = re.compile(r"(?i)(fold|split|part|partition|batch|shard|chunk|set|group|session|run|day)[ _-]?\d+")


@dataclass(frozen=True)
class ClassFolder:
    """A folder of one class and split. path: relative to the root; split: index into SPLITS, -1 without splits."""

    name: str
    split: int
    path: str


@dataclass
class Layout:
    """The class folders by split and natural order of their names, and what was seen on the way to them.

    levels: the folders that hold class folders, relative to the root. reading: sentences about how names were taken.
    """

    classes: list[ClassFolder] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    loose: int = 0
    reading: list[str] = field(default_factory=list)


def folder_layout(root: Path, labels: Sequence[str] | None, counter: LeftOutCounter) -> Layout:
    """Find the class folders below `root`; pictures beside them go into `counter`.

    labels: names that are classes for certain. Raises UsageError for a folder that can not be read, and where folders look
    like splits or masks but can not be read as such.
    """
    names = None if labels is None else {spelled(name) for name in labels}
    layout = Layout()
    base, top = _descended(root, "", list_folder(root, counter), names, counter, layout)
    known = [spelled(name) for name in top.folders]
    chosen = None if names is None else [name for name, same in zip(top.folders, known, strict=True) if same in names]
    found = split_folders(root / base, top.folders, chosen, _below(root / base, top.folders))
    if found.splits:
        _add_loose(base, top, counter, layout)
        for folder in found.unlabelled:
            passed: set[tuple[int, int]] = set()
            for image in images_below(root, base + folder, counter, passed=passed):
                counter.add("outside", image)
        _take_splits(root, base, found.splits, names, counter, layout)
    else:
        _take_classes(root, base, top, chosen, counter, layout)
    layout.classes.sort(key=lambda each: (each.split, natural_key(each.name)))
    return layout


def _take_splits(
    root: Path, base: str, splits: Mapping[str, int], names: set[str] | None, counter: LeftOutCounter, layout: Layout
) -> None:
    if any(name.lower() != SPLITS[split] for name, split in splits.items()):
        pairs = ", ".join(f"{quoted(name)} is {SPLITS[split]}" for name, split in splits.items())
        layout.reading.append(f"Folders read as splits: {pairs}.")
    for name, split in splits.items():
        prefix, level = f"{base}{name}/", list_folder(root / base / name, counter, f"{base}{name}/")
        for _ in range(_DEEPEST):
            if not _is_doubled(root, prefix, level, split, names):
                break
            prefix = f"{prefix}{level.folders[0]}/"
            level = list_folder(root / prefix, counter, prefix)
        _add_loose(prefix, level, counter, layout)
        if names is None or not set(level.folders) <= names:
            refuse_masks(root / prefix, level.folders)
        layout.levels.append(prefix)
        layout.classes += [ClassFolder(folder, split, prefix + folder) for folder in level.folders]


def _is_doubled(root: Path, prefix: str, level: Listing, split: int, names: set[str] | None) -> bool:
    """Whether a split holds one folder that is the split once more, or that only says that pictures lie in it."""
    if len(level.folders) != 1 or level.images or (names is not None and spelled(level.folders[0]) in names):
        return False
    inner = level.folders[0]
    again = split_in_name(inner) == split or is_filler(inner)
    return again and bool(_folders_in(root / prefix / inner))


def _take_classes(
    root: Path, base: str, top: Listing, chosen: Sequence[str] | None, counter: LeftOutCounter, layout: Layout
) -> None:
    layout.levels.append(base)
    _add_loose(base, top, counter, layout)
    if len(top.folders) == 1 and not chosen and is_filler(top.folders[0]) and not top.images:
        lone = list_folder(root / base / top.folders[0], LeftOutCounter())
        if not lone.folders:  # root/images/*.jpg: one folder of pictures, no class
            layout.levels[:] = [f"{base}{top.folders[0]}/"]
            _add_loose(layout.levels[0], lone, counter, layout)
            return
    below = {folder: _shown_folders(root / base / folder) for folder in top.folders}
    if chosen != top.folders:
        _look_below(root / base, below, layout)
        _refuse_pairs(root / base, top.folders)
    inside = _splits_inside(root / base, below)
    for folder in top.folders:
        splits = inside.get(folder)
        if splits is None:
            layout.classes.append(ClassFolder(folder, -1, base + folder))
            continue
        _add_loose(f"{base}{folder}/", list_folder(root / base / folder, counter, f"{base}{folder}/"), counter, layout)
        layout.classes += [ClassFolder(folder, split, f"{base}{folder}/{name}") for name, split in splits.items()]
    if inside:
        layout.reading.append("Folders inside the classes read as splits: " + _examples(inside) + ".")


def _look_below(level: Path, below: Mapping[str, Sequence[str]], layout: Layout) -> None:
    """Tell where the sub-folders of classes could be the classes. Raises UsageError where they must be.

    below: the sub-folders of every class folder.
    """
    for folder, inner in below.items():
        if split_in_name(folder) is None:
            continue
        if shared := sorted(set(inner) & set(below)):
            raise UsageError(
                f"{level}: {quoted(folder)} stands beside class folders and holds {quoted(shared[0])} once more, as a split "
                "does. Put the other class folders into a split folder too, or move it away."
            )
        others = "another" if len(below) == 2 else f"{len(below) - 1} others"
        layout.reading.append(f"{quoted(folder)} is read as a class: it stands beside {others}.")
    same = sorted(set.intersection(*(set(inner) for inner in below.values()))) if len(below) > 1 else []
    if len(same) < 2 or any(split_in_name(name) is not None for name in same):
        return
    shown = ", ".join(map(quoted, same[:4]))
    if all(_BATCH.fullmatch(folder) for folder in below):
        raise UsageError(
            f"{level}: {quoted(min(below))} and {counted(len(below) - 1, 'folder')} beside it look like folds or batches: each "
            f"holds the folders {shown}. Merge them, or list the images in a table (with a group column to keep a batch "
            "together). If they are classes, name them all with --labels."
        )
    layout.reading.append(f"Each class holds the folders {shown}, which are read as parts of it and not as classes.")


def _refuse_pairs(level: Path, folders: Sequence[str]) -> None:
    """Raise UsageError for two folders that hold files of the same names, one of them called as masks or labels are."""
    targets = [name for name in folders if is_target(name)]
    if len(folders) != 2 or len(targets) != 1:
        return
    target, other = targets[0], next(name for name in folders if name != targets[0])
    stems, others = _stems(level / target), _stems(level / other)
    if stems and not may_be_class(target, other, stems) and len(stems & others) >= 0.9 * len(stems):
        raise UsageError(
            f"{level}: {quoted(target)} holds files of the same names as {quoted(other)}: pictures with their masks or labels, "
            "which is data for detection or segmentation. A classifier needs one folder a class. If they are classes, say so: "
            f"--labels '{other},{target}'."
        )


def _stems(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {os.path.splitext(entry.name)[0] for entry in entries if entry.is_file()}  # noqa: PTH122
    except OSError:
        return set()


def _splits_inside(level: Path, below: Mapping[str, Sequence[str]]) -> dict[str, Mapping[str, int]]:
    """Class folder -> the splits in it, where every class is parted so (cat/train, cat/test, dog/train ...); else empty.

    Raises UsageError when only some of the classes are.
    """
    inside: dict[str, Mapping[str, int]] = {}
    for folder, inner in below.items():
        kinds = {split_in_name(name) for name in inner if name.isalpha()}
        if 0 in kinds and len(kinds - {None}) > 1:
            inside[folder] = split_folders(level / folder, inner, None, _below(level / folder, inner)).splits
    unparted = [folder for folder in below if not inside.get(folder)]
    if inside and unparted:
        raise UsageError(
            f"{level}: {_examples(inside)} are split folders inside a class, but {quoted(unparted[0])} has none. Part every "
            "class so, or none; or list the images in a table with a split column."
        )
    return inside


def _examples(inside: Mapping[str, Mapping[str, int]]) -> str:
    folder, splits = next((folder, splits) for folder, splits in inside.items())
    return ", ".join(quoted(f"{folder}/{name}") for name in splits)


def _descended(
    root: Path, base: str, level: Listing, names: set[str] | None, counter: LeftOutCounter, layout: Layout
) -> tuple[str, Listing]:
    """The level that holds classes or splits: below folders that are alone, as an unpacked archive has them."""
    for _ in range(_DEEPEST):  # a link may lead back up
        if len(level.folders) != 1 or level.images:
            break
        lone = level.folders[0]
        below = _shown_folders(root / base / lone)
        is_class = (names is not None and spelled(lone) in names) or split_in_name(lone) is not None
        inner_splits = {split_in_name(name) for name in below} - {None}
        known = names is not None and {spelled(name) for name in below} <= names
        if is_class or not below or not (len(inner_splits) > 1 or known or names is None):
            break
        inner = list_folder(root / base / lone, LeftOutCounter())
        if inner.images:
            break
        base = f"{base}{lone}/"
        level = list_folder(root / base, counter, base)
    if base:
        layout.reading.append(f"Read from {quoted(base)}, the only folder there.")
    return base, level


def _add_loose(prefix: str, level: Listing, counter: LeftOutCounter, layout: Layout) -> None:
    layout.loose += len(level.images)
    for name in level.images:
        counter.add("outside", prefix + name)


def _below(level: Path, folders: Sequence[str]) -> dict[str, set[str]]:
    """The sub-folders of each folder whose name may be a split's."""
    return {name: set(_folders_in(level / name)) for name in folders if split_in_name(name) is not None}


def _shown_folders(folder: Path) -> list[str]:
    return [name for name in _folders_in(folder) if not is_skipped_folder(name)]


def _folders_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:  # reported when the folder is read
        return []
