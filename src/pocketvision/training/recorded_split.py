"""The split that a run began with, image by image by content: how it goes on with the same images wherever they lie now."""

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.learned_from import fingerprints_of
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.splits import CONTENT, LIKELY, SAID, said_hash
from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.progress import Counted, OnEvent
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.unlabelled import has_truth, with_unlabelled

_NAMED = 3


@dataclass(frozen=True)
class RecordedSplit:
    """Of n images in the run's order: content hashes, class names (empty where there is none), splits (index into SPLITS), the
    paths they had, hashes of what was said of them (none where that is a class), and (n) the likely groups that were found, -1
    for none; None where nobody looked. forced: whether other images are gone on with."""

    folder: Path
    content: tuple[bytes, ...]
    labels: tuple[str, ...]
    splits: tuple[int, ...]
    paths: tuple[str, ...]
    said: tuple[str, ...] = ()
    likely: NDArray[np.int64] | None = None
    forced: bool = False

    @classmethod
    def read(cls, run: RunFolder, *, forced: bool = False) -> "RecordedSplit | None":
        """What split.csv says; None where there is none yet, or no content in it (PocketVision 0.1.0 wrote none)."""
        try:
            with run.split.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                rows = list(csv.DictReader(file))
            return cls(
                run.folder,
                tuple(bytes.fromhex(row[CONTENT]) for row in rows),
                tuple(row.get("label", "") for row in rows),
                tuple(SPLITS.index(row["split"]) for row in rows),
                tuple(row["path"] for row in rows),
                tuple(row[SAID] for row in rows if SAID in row),
                np.array([int(row[LIKELY] or -1) for row in rows]) if rows and LIKELY in rows[0] else None,
                forced,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def in_order(
        self, samples: Samples, content: NDArray[np.void], log: Callable[[str], None] = lambda _: None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of `samples`, with these content hashes, is which image of the run, in the run's order: places in both.

        Raises UsageError that names some when images are gone, changed or new, or something else is said of them. Where that is
        forced it is logged, changed images are known by their path, those that are gone are left out, and new ones too.
        """
        places: dict[tuple[bytes, str], list[int]] = defaultdict(list)
        for index in reversed(range(len(samples))):
            places[content[index].tobytes(), samples.class_name(index)].append(index)
        found, gone = dict[int, int](), []
        for row, key in enumerate(zip(self.content, self.labels, strict=True)):
            if places[key]:
                found[row] = places[key].pop()
            else:
                gone.append(row)
        told = has_truth(samples)  # of pictures without labels those that have come since are left alone
        new = sorted(index for left in places.values() for index in left if told[index])
        said = [row for row, index in found.items() if self.said and self.said[row] != said_hash(samples, index)]
        if gone or new or said:
            what = differences(
                gone=[self.paths[row] for row in gone],
                new=[samples.paths[index] for index in new],
                said=[self.paths[row] for row in said],
            )
            if not self.forced:
                raise other_data(str(samples.root), self.folder, what)
            changed = self._by_path(samples, gone, new)
            found |= changed
            log(
                f"Other data than the run began with, by --force: {what}. "
                f"{len(gone) - len(changed)} left out, and {len(new) - len(changed)} new ones not learned from."
            )
        rows = sorted(found)
        return np.array([found[row] for row in rows], np.int64), np.array(rows, np.int64)

    def _by_path(self, samples: Samples, gone: list[int], new: list[int]) -> dict[int, int]:
        """Of images that are gone those whose path has a new one now."""
        there = {os.path.abspath(str(samples.file(index))): index for index in new}  # noqa: PTH100
        there |= {samples.paths[index]: index for index in new}
        names = {row: (os.path.abspath(self.folder / self.paths[row]), self.paths[row]) for row in gone}  # noqa: PTH100
        return {row: there[name] for row, both in names.items() for name in both if name in there}


def require_same_images(run: RunFolder, settings: RunSettings, on_event: OnEvent) -> None:
    """Raise UsageError where the data of `settings` holds other images than the run was trained on. Each is decoded once."""
    recorded = RecordedSplit.read(run)
    if recorded is None:  # it can not be told
        return
    samples = read_samples(
        settings.data,
        format=settings.format,
        task=settings.task,
        labels=settings.labels,
        images=settings.images,
        ignore=settings.recipe.data.ignore,
        min_per_class=settings.recipe.data.min_per_class,
        **settings.columns,
    )
    samples = with_unlabelled(samples, settings.recipe.distillation)
    classes = set(recorded.labels)  # a class that was too small is none of the run's
    samples = samples.select([index for index in range(len(samples)) if samples.class_name(index) in classes])
    content, _, unreadable = fingerprints_of(
        [samples.file(index) for index in range(len(samples))],
        workers=max(settings.recipe.data.workers, 1),
        max_pixels=settings.recipe.data.max_pixels,
        on_progress=lambda done, total: on_event(Counted("audit", done, total)),
    )
    readable = np.array([index not in unreadable for index in range(len(samples))], np.bool_)
    recorded.in_order(samples.select(readable), content[readable])


def differences(*, gone: Sequence[str] = (), new: Sequence[str] = (), said: Sequence[str] = ()) -> str:
    """What is different, from the paths of images: the first few by name."""
    return "; ".join(
        f"{counted(len(paths), 'image')} {what} ({', '.join(paths[:_NAMED])}{' ...' if len(paths) > _NAMED else ''})"
        for what, paths in (
            ("gone or changed", gone),
            ("new or changed", new),
            ("of which something else is said now", said),
        )
        if paths
    )


def other_data(data: str, run: Path, what: str = "") -> UsageError:
    """A resumed run finds other images than it began with, or other truth. what: of `differences`."""
    return UsageError(
        f"The data in {data} is not what {run} was started on: images were added, removed or changed"
        f"{': ' + what if what else ''}. Put the data back as it was, start a new run, or go on all the same: --force."
    )
