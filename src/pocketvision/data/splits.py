"""Splits: which images are learned from, which choose the model and which measure it."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.atomic_files import replacing, write_json
from pocketvision.csv_text import csv_bytes
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.stratify import assign_clusters
from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.ragged import Ragged

CONTENT = "content"
"""The column of content hashes in a run's split.csv."""
SAID = "truth_hash"
"""The column of hashes of what was said of an image there, where that is more than a class."""
LIKELY = "likely_group"
"""The column of likely groups there (likely_groups.py); empty where a picture is by itself."""


def origin_file(table: Path) -> Path:
    """The file beside a table of splits that names the source of its images, where the table does not hold all their truth."""
    return table.with_name(f"{table.stem}.source.json")


def unite(
    count: int, pairs: Iterable[tuple[int, int]] | NDArray[np.integer], groups: NDArray[np.integer] | None = None
) -> NDArray[np.int64]:
    """(count) the cluster of each sample: what is linked by a pair or is in one group, directly or over others, is one.

    pairs: (m, 2) samples that must not be parted (duplicates, near-duplicates). groups: (count), -1 is no group.
    Clusters are numbered from 0 in the order of their first samples.
    """
    parents = np.arange(count)
    if groups is not None:
        _, first, member_of = np.unique(groups, return_index=True, return_inverse=True)
        parents = np.where(groups >= 0, first[member_of], parents)
    # A plain list: reading single numbers out of an array takes three times as long.
    linked = parents.tolist()
    for one, other in pairs.tolist() if isinstance(pairs, np.ndarray) else pairs:
        low, high = sorted((_representative(linked, one), _representative(linked, other)))
        linked[high] = low
    roots = np.array([_representative(linked, sample) for sample in range(count)], dtype=np.int64)
    # A root is the least of its cluster, so sorting the roots sorts clusters by their first samples.
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def _representative(linked: list[int], sample: int) -> int:
    while linked[sample] != sample:
        linked[sample] = linked[linked[sample]]  # halves the way for the next who asks
        sample = linked[sample]
    return sample


def make_split(
    strata: NDArray[np.integer] | Ragged,
    *,
    clusters: NDArray[np.integer] | None = None,
    val_share: float = 0.2,
    test_share: float = 0.0,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
) -> NDArray[np.int8]:
    """(n) int8, index into SPLITS: each class is shared out by the given shares, and no cluster is parted.

    strata: of n samples, numbers from 0, one each or several (tasks/truth.py); those without one of `class_names` need not be in
    every split, and none of several need: what is in one cluster alone is learned from. clusters: (n), from `unite`; None is
    every sample by itself. Every class has images in train and val, and in test where it has a third cluster to give; shares
    are met as closely as whole clusters allow. The same arguments give the same split on every machine.

    Raises UsageError for shares that leave nothing for training, and, naming the classes (by `class_names`, else by
    number), when one has all its images in a single cluster and so can not be both learned from and measured.
    """
    for name, share in (("validation", val_share), ("test", test_share)):
        if not 0 <= share < 1:
            raise UsageError(f"The {name} share is {share}; expected a number from 0 to below 1, such as 0.2.")
    if val_share + test_share >= 1:
        raise UsageError(f"Validation share {val_share} and test share {test_share} leave nothing for training.")
    owners = np.arange(len(strata)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    shares = (1 - val_share - test_share, val_share, test_share)
    if isinstance(strata, Ragged):
        of_things = np.repeat(owners, strata.lengths)
        return assign_clusters(strata.columns["stratum"], of_things, shares, seed)[0][owners]
    labels = strata
    split_of, without = assign_clusters(labels, owners, shares, seed)
    unsplit = [each for each in without if class_names is None or each < len(class_names)]
    if unsplit:
        raise _can_not_be_split(labels, owners, unsplit, class_names)
    return split_of[owners]


def _can_not_be_split(
    labels: NDArray[np.integer], owners: NDArray[np.integer], without: Sequence[int], class_names: Sequence[str] | None
) -> UsageError:
    named = [repr(class_names[each]) if class_names else str(each) for each in without]
    some = ", ".join(named[:4]) + (f" and {len(named) - 4} more" if len(named) > 4 else "")
    if all((labels == each).sum() == 1 for each in without):
        found = "it has a single image, and needs one to learn from and one to be measured on"
    elif all(len(np.unique(owners[labels == each])) == 1 for each in without):
        counts = ", ".join(str((labels == each).sum()) for each in without[:4])
        found = f"all its images ({counts}) are duplicates of one another or of one group, which must not be parted"
    else:
        found = "groups and duplicates, which must not be parted, tie its images to those of other classes"
    return UsageError(
        f"Class {some} can not be split into training and validation: {found}. Add other images, leave such classes out "
        "(--min-per-class 2), or give the splits yourself (train/ and val/ folders, or a split column)."
    )


def write_split_csv(
    path: Path, samples: Samples, content: NDArray[np.void] | None = None, likely: NDArray[np.int64] | None = None
) -> None:
    """Write the columns path, label (if there are classes), split and (if there are groups) group; whole or not at all.

    content: (n) content hashes for a further column, by which the images are known again wherever they are moved. likely: (n)
    numbers of likely groups for another, -1 for none; None where nobody looked.

    The file is itself a source: training on it repeats the split. Paths are absolute, or relative to the file for images below
    its folder. Where a class is not all the truth of each image, `origin_file` is written too, and paths are relative to the
    source that it names. Raises ValueError for samples without splits, and for such truth of no known source.
    """
    if samples.splits is None:
        raise ValueError("The samples have no splits to write.")
    whole = set(samples.truth) == {CLASSIFICATION} and bool((samples.labels >= 0).all())
    if not whole and samples.origin is None:
        raise ValueError(
            f"A table can not hold {', '.join(samples.truth)}, and no source is known to read it from again."
        )
    classes = [] if samples.classes is None else ["label"]
    columns = {"group": _numbers(samples.groups), LIKELY: _numbers(likely)}
    columns[SAID] = None if whole else [said_hash(samples, index) for index in range(len(samples))]
    columns[CONTENT] = None if content is None else [each.tobytes().hex() for each in content]
    further = {name: cells for name, cells in columns.items() if cells is not None}
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(csv_bytes(["path", *classes, "split", *further]))
        for index, name in enumerate(paths_from(path.parent, samples) if whole else samples.paths):
            row = [name, *(samples.class_name(index) for _ in classes), SPLITS[samples.splits[index]]]
            file.write(csv_bytes([*row, *(cells[index] for cells in further.values())]))
    origin_file(path).unlink(missing_ok=True)
    if not whole and samples.origin is not None:
        values = samples.origin.to_dict()
        within = Path(values["source"])
        if within.is_relative_to(path.parent.absolute()):  # of a run, which may be moved
            values["source"] = within.relative_to(path.parent.absolute()).as_posix()
        write_json(origin_file(path), {**values, "class_names": samples.class_names})


def said_hash(samples: Samples, index: int) -> str:
    """Of all that was said of an image."""
    return hashlib.blake2b(samples.said(index), digest_size=8).hexdigest()


def _numbers(groups: NDArray[np.integer] | None) -> list[str] | None:
    return None if groups is None else ["" if group < 0 else str(group) for group in groups.tolist()]


def paths_from(folder: Path, samples: Samples) -> Iterable[str]:
    """Absolute paths; below `folder` relative ones, which hold when it is moved."""
    root, start = str(samples.root.absolute()), f"{folder.absolute()}{os.sep}"
    return (os.path.join(root, name).removeprefix(start) for name in samples.paths)  # noqa: PTH118
