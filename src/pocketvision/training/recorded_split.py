"""The split that a run began with, image by image by content: how it goes on with the same images wherever they lie now."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.learned_from import fingerprints_of
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.splits import CONTENT, LIKELY
from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.progress import Counted, OnEvent
from pocketvision.training.run_folder import RunFolder, RunSettings

_NAMED = 3


@dataclass(frozen=True)
class RecordedSplit:
    """Of n images in the run's order: content hashes, class names (empty where there is none), splits (index into SPLITS), the
    paths they had, and (n) the likely groups that were found, -1 for none; None where nobody looked."""

    folder: Path
    content: tuple[bytes, ...]
    labels: tuple[str, ...]
    splits: tuple[int, ...]
    paths: tuple[str, ...]
    likely: NDArray[np.int64] | None = None

    @classmethod
    def read(cls, run: RunFolder) -> "RecordedSplit | None":
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
                np.array([int(row[LIKELY] or -1) for row in rows]) if rows and LIKELY in rows[0] else None,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def in_order(self, samples: Samples, content: NDArray[np.void]) -> NDArray[np.int64]:
        """Which of `samples`, with these content hashes, each image of the run is.

        Raises UsageError that names some when images are gone, changed or new.
        """
        places: dict[tuple[bytes, str], list[int]] = defaultdict(list)
        for index in reversed(range(len(samples))):
            places[content[index].tobytes(), samples.class_name(index)].append(index)
        order, gone = [], []
        for key, path in zip(zip(self.content, self.labels, strict=True), self.paths, strict=True):
            if places[key]:
                order.append(places[key].pop())
            else:
                gone.append(path)
        new = [samples.paths[index] for left in places.values() for index in left]
        if gone or new:
            raise other_data(str(samples.root), self.folder, gone=gone, new=new)
        return np.array(order, np.int64)


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


def other_data(data: str, run: Path, *, gone: list[str] | None = None, new: list[str] | None = None) -> UsageError:
    """A resumed run finds other images than it began with."""
    found = [
        f"{counted(len(paths), 'image')} {what} ({', '.join(paths[:_NAMED])}{' ...' if len(paths) > _NAMED else ''})"
        for what, paths in (("gone or changed", gone), ("new or changed", new))
        if paths
    ]
    return UsageError(
        f"The data in {data} is not what {run} was started on: images were added, removed or changed"
        f"{': ' + '; '.join(found) if found else ''}. Put the data back as it was, or start a new run."
    )
