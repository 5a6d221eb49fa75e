"""The image folder: root/class/**/image, or with train/, val/ and test/ above (or below) the classes."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketvision.data.class_names import ordered_class_names, spelled
from pocketvision.data.folder_layout import ClassFolder, Layout, folder_layout
from pocketvision.data.image_files import SUFFIXES, folder_identity, images_below
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted
from pocketvision.tasks.classification.truth import class_truth


def read_image_folder(root: Path, *, labels: Sequence[str] | None = None) -> Samples:
    """Index every image below `root`: the first folder level names the class, or the second below train/, val/, test/.

    labels: every class name in index order; None takes the folder names (of train/, when there are splits) in natural
    order. What is an image, and which folders are passed over, image_files.py says; links are followed, but no real folder
    is read twice for one class. Rows are ordered by split, class and path, never as the file system lists them.

    Raises UsageError when `root` is no folder, can not be read, holds no image in a class folder, has folders that look like
    splits or masks but can not be read as such, or has a class that is not among `labels` (or, without them, has no folder
    in train/).
    """
    counter = LeftOutCounter()
    layout = folder_layout(root, labels, counter)
    class_names = _class_names(root, layout, labels)
    index_of = {name: index for index, name in enumerate(class_names)}
    passed = {folder_identity(root), *(folder_identity(root / level) for level in layout.levels)}

    paths: list[str] = []
    of_class, of_split = array("i"), array("b")
    for each in layout.classes:
        before = len(paths)
        paths.extend(images_below(root, each.path, counter, passed=passed))
        added = len(paths) - before
        of_class.extend(array("i", [index_of[spelled(each.name)]]) * added)
        of_split.extend(array("b", [each.split]) * added)
    if not paths:
        raise _no_images(root, layout, counter)
    return Samples(
        root=root,
        paths=paths,
        truth=class_truth(np.array(of_class, dtype=np.int32), class_names),
        splits=np.array(of_split, dtype=np.int8) if layout.classes[0].split >= 0 else None,
        left_out=counter.result(),
        reading=tuple(layout.reading),
    )


def _class_names(root: Path, layout: Layout, labels: Sequence[str] | None) -> tuple[str, ...]:
    """The classes in index order. A split may lack a class, but not add one to those of train/ (or `labels`)."""
    by_parent: dict[str, list[str]] = {}
    for each in layout.classes:
        by_parent.setdefault(str((root / each.path).parent), []).append(each.name)
    if labels is None:
        learned: list[ClassFolder] = [each for each in layout.classes if each.split <= 0]
        labels = ordered_class_names([each.name for each in learned or layout.classes], None, str(root))
        if not labels:
            return ()
    for parent, names in by_parent.items():
        ordered_class_names(names, labels, parent)
    return ordered_class_names([], labels, str(root))


def _no_images(root: Path, layout: Layout, counter: LeftOutCounter) -> UsageError:
    folders = len(layout.classes)
    if layout.loose and not folders:
        found = f"{counted(layout.loose, 'image')} but no class folders"
    elif folders:
        found = f"{counted(folders, 'class folder')} but no image in them (suffixes: {' '.join(SUFFIXES)})"
    else:
        found = "neither class folders nor images"
    left = [each for each in counter.result() if each.reason in ("heic", "other_format", "not_an_image")]
    if left:
        found += f", but {left[0].text} ({left[0].count:,}, such as {quoted(left[0].example)})"
    tables = sorted(path.name for suffix in ("csv", "tsv", "parquet") for path in root.glob(f"*.{suffix}"))
    hint = f" There is a table, {quoted(tables[0])}: to read it, name it in place of the folder." if tables else ""
    where = " and ".join(str(root / level) for level in layout.levels)
    return UsageError(f"{where}: {found}. Expected one sub-folder per class, with that class's images in it.{hint}")
