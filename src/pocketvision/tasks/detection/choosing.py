"""From which score on objects of a class are said: thresholds chosen by wishes, each class's its own."""

from collections.abc import Sequence
from dataclasses import replace

from pocketvision.errors import UsageError, unknown_name
from pocketvision.tasks.detection.decode import thresholds_of
from pocketvision.tasks.detection.precision import Ranked
from pocketvision.tasks.detection.record import DetectionRecord, Rows, decided, joined
from pocketvision.tasks.manifest import CHOSEN_FOR, THRESHOLDS, TaskManifest
from pocketvision.tasks.thresholds import OperatingPoint, Sweep, UnmetWishError, Wish, choose

BEST_F1 = Wish("f1")


def best_thresholds(
    records: Sequence[DetectionRecord], labels: Sequence[str], wish: Wish = BEST_F1
) -> dict[str, float]:
    """By class, what `wish` asks for on N >= 1 records with truth; without those that it can not be met for, such as a class that
    no image has. A detection is right from an IoU of 0.5 on."""
    rows, found = joined(records), dict[str, float]()
    for place, name in enumerate(labels):
        try:
            found[name] = _chosen(rows, place, wish).threshold
        except UnmetWishError:
            continue
    return found


def _chosen(rows: Rows, place: int, wish: Wish) -> OperatingPoint:
    curve = Ranked.of(rows, place).curve()
    return choose(
        curve.scores, curve.is_right, wish, without_score=curve.objects - int(curve.is_right.sum()), images=rows.images
    )


def points(records: Sequence[DetectionRecord], task: TaskManifest) -> dict[str, OperatingPoint]:
    """By class, what the answers of records with truth are. What is counted are objects."""
    rows, found = joined(decided(records, task)), {}
    for place, (name, threshold) in enumerate(zip(task.labels, thresholds_of(task).tolist(), strict=True)):
        curve = Ranked.of(rows, place).curve()
        if len(curve.scores) == 0:
            found[name] = OperatingPoint(threshold, 0, 0, curve.objects, rows.images)
            continue
        missed = curve.objects - int(curve.is_right.sum())
        sweep = Sweep.of(curve.scores, curve.is_right, without_score=missed, images=rows.images)
        found[name] = sweep.at(threshold)
    return found


def choose_thresholds(
    records: Sequence[DetectionRecord], task: TaskManifest, wishes: Sequence[Wish], positive: str | None = None
) -> TaskManifest:
    """`task` with the thresholds that `wishes` ask for on records with truth: of the class that a wish names, else of each, those
    that these images do not allow staying as they are.

    Raises UsageError for an unknown class, two wishes for one, or a positive class; UnmetWishError where a class that is named,
    or all of them, can not have what is wished.
    """
    if positive is not None:
        raise UsageError(
            f"A positive class ({positive!r}) is for a classifier of two classes. Name the class: {positive}:f1."
        )
    thresholds, chosen = dict(zip(task.labels, thresholds_of(task).tolist(), strict=True)), set[str]()
    for wish in sorted(wishes, key=lambda each: each.of is not None):  # those that name a class have the last word
        if wish.of is not None and wish.of not in task.labels:
            raise unknown_name("class", wish.of, task.labels)
        target = "" if wish.of is None else wish.of
        if target in chosen:
            raise UsageError(
                f"Two wishes are for {target or 'every class'}; the second is {wish.text}. Keep one of them."
            )
        chosen.add(target)
        thresholds |= _met(records, task, wish)
    told = ", ".join(wish.text for wish in wishes)
    kept = {**task.postprocessing, THRESHOLDS: thresholds, CHOSEN_FOR: {"wish": told, "images": len(records)}}
    return replace(task, postprocessing=kept)


def _met(records: Sequence[DetectionRecord], task: TaskManifest, wish: Wish) -> dict[str, float]:
    names = task.labels if wish.of is None else (wish.of,)
    if wish.name == "at":
        return dict.fromkeys(names, wish.value or 0.0)
    rows, found, unmet = joined(records), dict[str, float](), None
    for name in names:
        try:
            found[name] = _chosen(rows, task.labels.index(name), replace(wish, of=name)).threshold
        except UnmetWishError as error:
            unmet = error
    if unmet is not None and not found:
        raise unmet
    return found
