"""From which probability on a pixel is of the second of two classes, chosen by a wish. What is counted are pixels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.tasks.manifest import CHOSEN_FOR, THRESHOLDS, TaskManifest
from pocketvision.tasks.segmentation.decode import LEAST, thresholds_of
from pocketvision.tasks.segmentation.metrics import counts_of, sums_of
from pocketvision.tasks.segmentation.record import LEVELS, SegmentationRecord, decided
from pocketvision.tasks.thresholds import OperatingPoint, Sweep, Wish, chosen


def choose_thresholds(
    records: Sequence[SegmentationRecord], task: TaskManifest, wishes: Sequence[Wish], positive: str | None = None
) -> TaskManifest:
    """`task` with the threshold that a wish asks for on records with truth: of the class that it names, else of `positive`,
    else of the second. Best F1 is best Dice, and best IoU.

    Raises UsageError for more than two classes, or more than one wish; UnmetWishError where no threshold does what is wished.
    """
    if len(task.labels) != 2:
        raise UsageError(
            f"A threshold is for masks of two classes; this model has {len(task.labels)}, and answers with the most probable."
        )
    if len(wishes) > 1:
        raise UsageError(
            f"Of two classes one threshold decides both; {len(wishes)} wishes were made, such as {wishes[1].text}. Keep one."
        )
    wish = wishes[0]
    name = wish.of or positive or task.labels[1]
    if name not in task.labels:
        raise unknown_name("class", name, task.labels)
    if wish.name == "at":
        threshold = wish.value or 0.0
    else:
        threshold = chosen(sweep_of(records, task.labels.index(name)), replace(wish, of=name)).threshold
    other = next(each for each in task.labels if each != name)
    kept = {
        **task.postprocessing,
        THRESHOLDS: {name: threshold, other: 1 - threshold},
        CHOSEN_FOR: {"wish": wish.text, "images": len(records)},
    }
    return replace(task, postprocessing=kept)


def best_overlap(levels: NDArray[np.int64]) -> tuple[float, float]:
    """From which probability on a pixel is of the second of two classes, so that their mean IoU is highest, and that mean IoU.

    levels: (2, LEVELS) pixels by true class and the second one's probability (record.py). Of thresholds that do equally well the
    middle one. Without any pixels (0.5, 0).
    """
    first = np.concatenate([np.zeros((2, 1), np.int64), levels.cumsum(axis=1)], axis=1)
    there, said = levels.sum(axis=1), first.sum(axis=0)
    right = np.stack([first[0], there[1] - first[1]])
    either = there[:, None] + np.stack([said, there.sum() - said]) - right
    ious = np.divide(right, either, out=np.zeros(right.shape), where=either > 0)
    found = ious.sum(axis=0) / np.maximum((either > 0).sum(axis=0), 1)
    if not there.any():
        return 0.5, 0.0
    best = np.flatnonzero(found == found.max())
    run = best[: int(np.argmax(np.diff(best, append=best[-1] + 2) > 1)) + 1]
    return float(np.clip((run[0] + run[-1]) / (2 * LEVELS), LEAST, 1 - LEAST)), float(found.max())


def sweep_of(records: Sequence[SegmentationRecord], place: int) -> Sweep:
    """Every threshold between the levels that are told apart, of the class at `place` of two."""
    levels = np.sum([each.levels for each in counts_of(records)], axis=0)
    if place == 0:
        levels = levels[::-1, ::-1]
    said, hits = (np.append(each[::-1].cumsum()[::-1], 0) for each in (levels.sum(axis=0), levels[1]))
    thresholds = np.clip(np.arange(LEVELS + 1) / LEVELS, LEAST, 1 - LEAST)
    widths = np.full(LEVELS + 1, 1 / LEVELS)
    return Sweep(thresholds, widths, hits, said, int(levels[1].sum()), len(records))


def points(records: Sequence[SegmentationRecord], task: TaskManifest) -> dict[str, OperatingPoint]:
    """By class, what the answers of records with truth are, in pixels."""
    kept = thresholds_of(task)
    right, there, said = sums_of(np.sum([each.confusion for each in counts_of(decided(records, task))], axis=0))
    return {
        name: OperatingPoint(
            kept.get(name, 1 / len(task.labels)),
            int(right[place]),
            int(said[place] - right[place]),
            int(there[place] - right[place]),
            len(records),
        )
        for place, name in enumerate(task.labels)
    }
