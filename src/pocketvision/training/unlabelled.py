"""Pictures without labels, of which a student learns what its teachers say alone (distillation.unlabelled).

Hinton et al. 2015, section 3: any set may carry a teacher's answers; Beyer et al. 2022, https://arxiv.org/abs/2106.05237.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.find_images import find_images
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.training.learned_tasks import learned_of
from pocketvision.training.run_log import RunLog
from pocketvision.training.settings import DistillationSettings

TRAIN = SPLITS.index("train")

Whole = TypeVar("Whole", np.int8, np.int32)


def has_truth(samples: Samples) -> NDArray[np.bool_]:
    """(n) whether anything is said of each image."""
    return np.asarray(np.any([truth.present for truth in samples.truth.values()], axis=0), np.bool_)


def with_unlabelled(samples: Samples, settings: DistillationSettings) -> Samples:
    """The samples, then the images in `settings.unlabelled` and below it that are not among them, of which nothing is said; they
    are in the training split, where there are splits. Raises UsageError for a folder that is none, and without teachers."""
    if settings.unlabelled is None:
        return samples
    if not settings.teachers:
        raise UsageError(
            "--unlabelled names pictures that a teacher answers, and there is none. Name one (--teacher), or leave it out."
        )
    place = Path(settings.unlabelled)
    if not place.is_dir():
        raise UsageError(f"{place} is no folder. --unlabelled names one with images in it or below it, without labels.")
    known = {_absolute(samples.file(index)) for index in range(len(samples))}
    found = [_absolute(path) for path in find_images([place]) if isinstance(path, Path)]
    more = [path for path in found if path not in known]
    rows = np.concatenate([np.arange(len(samples)), np.full(len(more), -1)]).astype(np.int64)
    return replace(
        samples,
        paths=[*samples.paths, *more],
        truth={task: truth.aligned(rows) for task, truth in samples.truth.items()},
        groups=_longer(samples.groups, len(more), -1),
        splits=_longer(samples.splits, len(more), TRAIN),
    )


def learnable(
    samples: Samples, given: int, task: str | None, answered: tuple[str, ...], log: RunLog
) -> NDArray[np.bool_]:
    """(n) whether each image has something that is learned, or is after the first `given` ones, without labels. Others of the
    given ones are said, and what is not learned of any."""
    learned = learned_of(samples.truth, task, answered)
    if unlearned := [each for each in samples.truth if each not in learned]:
        log.note(f"Not learned: {', '.join(unlearned)}; the truth is kept with the images.")
    stays = np.any([truth.present for truth in learned.values()], axis=0)
    stays[given:] = True
    if lacking := np.flatnonzero(~stays).tolist():
        what = "a class" if [*learned] == [CLASSIFICATION] else f"the truth of {', '.join(learned)}"
        log.note(f"Left out: images without {what}: {len(lacking):,} (such as {samples.paths[lacking[0]]}).")
    return np.asarray(stays, np.bool_)


def apart_from_held_out(
    samples: Samples, clusters: NDArray[np.int64], log: RunLog
) -> tuple[Samples, NDArray[np.bool_]]:
    """The samples with all images without truth in the training split, and (n) which stay: all but those that are, or nearly are,
    an image of another split. clusters: (n) a number for those that are alike."""
    without = ~has_truth(samples)
    if samples.splits is None or not without.any():
        return samples, np.ones(len(samples), np.bool_)
    held_out = ~without & (samples.splits != TRAIN)
    alike = without & np.isin(clusters, clusters[held_out])
    learned = int((without & ~alike).sum())
    log.note(f"Without labels, learned from by what the teacher says of them: {counted(learned, 'image')}.")
    if alike.any():
        log.note(
            f"Left out: images without labels that are, or nearly are, images of the validation or test split: "
            f"{int(alike.sum()):,} (such as {samples.paths[int(np.flatnonzero(alike)[0])]})."
        )
    return samples.with_splits(np.where(without, TRAIN, samples.splits)), ~alike


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (a link stays one)


def _longer(values: NDArray[Whole] | None, count: int, value: int) -> NDArray[Whole] | None:
    return None if values is None else np.append(values, np.full(count, value, values.dtype))
