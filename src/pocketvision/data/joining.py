"""Samples of several sources as one: the same pictures, known by their paths, with the truth of a task from each source."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.splits import unite
from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted

Integers = NDArray[np.int64]


def joined(parts: Mapping[str, Samples], root: Path) -> Samples:
    """The pictures of all parts, those of the first in its order, then what further ones add.

    parts: by the task's name, each with the truth of one task and with one row a picture. root: the folder that paths start from.
    A picture that a part does not name lacks that task's truth. Images that are of one group anywhere are of one here. Where
    parts have splits, pictures of others without one are learned from.

    Raises UsageError for a picture that a part names twice, for one that is in two splits, and for a part that has no picture
    with any other part in common.
    """
    places: dict[str, int] = {}
    rows = {task: _rows(task, part, places) for task, part in parts.items()}
    _require_common(parts, rows)
    count = len(places)
    aligned = {task: _inverse(own, count) for task, own in rows.items()}
    splits, line = _splits(parts, rows, list(places))
    return Samples(
        root,
        _paths(root, places),
        {task: part.truth[task].aligned(aligned[task]) for task, part in parts.items()},
        groups=_groups(parts, rows, count),
        splits=splits,
        left_out=tuple(each for part in parts.values() for each in part.left_out),
        reading=(*(f"{task}: {each}" for task, part in parts.items() for each in part.reading), *line),
        found=tuple(each for part in parts.values() for each in part.found),
    )


def _rows(task: str, part: Samples, places: dict[str, int]) -> Integers:
    """Which of the pictures each row of a part is; new ones are added to `places`, by their absolute paths."""
    start = os.path.abspath(part.root)  # noqa: PTH100 (a link stays one: the picture is known by the name that people gave)
    found = [places.setdefault(os.path.normpath(os.path.join(start, path)), len(places)) for path in part.paths]  # noqa: PTH118
    rows = np.array(found, np.int64)
    _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = part.paths[int(first[counts > 1][0])]
        raise UsageError(
            f"The source of {task} names {quoted(twice)} more than once, and beside other tasks a picture is one row. "
            "Leave one of them."
        )
    return rows


def _require_common(parts: Mapping[str, Samples], rows: Mapping[str, Integers]) -> None:
    for task, own in rows.items():
        others = [each for name, each in rows.items() if name != task]
        if others and not np.isin(own, np.concatenate(others)).any():
            first = next(name for name in rows if name != task)
            raise UsageError(
                f"The source of {task} names no picture of the others: it has {parts[task].file(0)}, and that of {first} has "
                f"{parts[first].file(0)}. Pictures are joined by their paths: say where those of a table start (images)."
            )


def _inverse(rows: Integers, count: int) -> Integers:
    """(count) which row of the part each picture is, -1 for none."""
    found = np.full(count, -1, np.int64)
    found[rows] = np.arange(len(rows))
    return found


def _paths(root: Path, places: Mapping[str, int]) -> Sequence[str]:
    """Relative to `root` with "/" between parts; absolute when outside."""
    start = f"{os.path.abspath(root)}{os.sep}"  # noqa: PTH100
    return [path.removeprefix(start).replace(os.sep, "/") if path.startswith(start) else path for path in places]


def _splits(
    parts: Mapping[str, Samples], rows: Mapping[str, Integers], paths: Sequence[str]
) -> tuple[NDArray[np.int8] | None, tuple[str, ...]]:
    """The split of each picture, None where no part has any, and a line about those that none names."""
    given = {task: part.splits for task, part in parts.items() if part.splits is not None}
    if not given:
        return None, ()
    found = np.full(len(paths), -1, np.int8)
    for task, own in given.items():
        before = found[rows[task]]
        apart = np.flatnonzero((before >= 0) & (before != own))
        if len(apart):
            row = int(apart[0])
            raise UsageError(
                f"{paths[rows[task][row]]} is in the split {SPLITS[before[row]]}, and by the source of {task} in "
                f"{SPLITS[own[row]]}. A picture is in one split for all tasks."
            )
        found[rows[task]] = own
    without = int((found < 0).sum())
    found[found < 0] = 0
    line = f"Pictures that are in no split of {', '.join(given)} are learned from: {without:,}."
    return found, (line,) if without else ()


def _groups(parts: Mapping[str, Samples], rows: Mapping[str, Integers], count: int) -> NDArray[np.int32] | None:
    """(count) what any part has in one group is in one, -1 for none; None where no part has groups."""
    pairs, grouped = [np.zeros((0, 2), np.int64)], np.zeros(count, np.bool_)
    given = {task: part.groups for task, part in parts.items() if part.groups is not None}
    for task, groups in given.items():
        own = np.flatnonzero(groups >= 0)
        _, first, member_of = np.unique(groups[own], return_index=True, return_inverse=True)
        pairs.append(np.stack([rows[task][own[first[member_of]]], rows[task][own]], axis=1))
        grouped[rows[task][own]] = True
    if not given:
        return None
    return np.where(grouped, unite(count, np.concatenate(pairs)), -1).astype(np.int32)


def told(parts: Mapping[str, Samples], count: int) -> str:
    """A sentence on what was joined."""
    each = ", ".join(f"{task} {int(part.truth[task].present.sum()):,}" for task, part in parts.items())
    return f"Joined by path: {counted(count, 'picture')}; with the truth of {each}."
