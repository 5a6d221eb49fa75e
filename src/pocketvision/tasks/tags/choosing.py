"""Thresholds of tags, chosen by wishes on images with truth: each tag's is its own."""

from collections.abc import Sequence
from dataclasses import replace

from pocketvision.errors import UsageError, unknown_name
from pocketvision.tasks.manifest import CHOSEN_FOR, THRESHOLDS, TaskManifest
from pocketvision.tasks.tags.decode import thresholds_of
from pocketvision.tasks.tags.record import TagRecord, stacked
from pocketvision.tasks.thresholds import OperatingPoint, UnmetWishError, Wish, choose


def decide(records: Sequence[TagRecord], task: TaskManifest) -> list[TagRecord]:
    """The same records, answered as `task` says now."""
    thresholds = thresholds_of(task)
    return [replace(each, said=each.probabilities >= thresholds) for each in records]


def points(records: Sequence[TagRecord], task: TaskManifest) -> dict[str, OperatingPoint]:
    """By tag, what the answers of records with truth are."""
    rows, thresholds = stacked(records), thresholds_of(task).tolist()
    assert rows.marks is not None, "they have truth"
    said, marks, images = rows.said, rows.marks, len(records)
    counts = ((said & marks).sum(0).tolist(), (said & ~marks).sum(0).tolist(), (~said & marks).sum(0).tolist())
    return {
        name: OperatingPoint(threshold, hits, wrong, missed, images)
        for name, threshold, hits, wrong, missed in zip(task.labels, thresholds, *counts, strict=True)
    }


def choose_thresholds(
    records: Sequence[TagRecord], task: TaskManifest, wishes: Sequence[Wish], positive: str | None = None
) -> TaskManifest:
    """`task` with the thresholds that `wishes` ask for on records with truth: of the tag that a wish names, else of each tag,
    those that these images do not allow (or that no image has) staying as they are.

    Raises UsageError for an unknown tag, two wishes for one, or a positive class; UnmetWishError where a tag that is named, or
    all of them, can not have what is wished.
    """
    if positive is not None:
        raise UsageError(
            f"A positive class ({positive!r}) is for a classifier of two classes. Name the tag: {positive}:f1."
        )
    thresholds, chosen = dict(zip(task.labels, thresholds_of(task).tolist(), strict=True)), set[str]()
    for wish in sorted(wishes, key=lambda each: each.of is not None):  # those that name a tag have the last word
        if wish.of is not None and wish.of not in task.labels:
            raise unknown_name("tag", wish.of, task.labels)
        target = "" if wish.of is None else wish.of
        if target in chosen:
            raise UsageError(
                f"Two wishes are for {target or 'every tag'}; the second is {wish.text}. Keep one of them."
            )
        chosen.add(target)
        thresholds |= _met(records, task, wish)
    told = [wish.text for wish in wishes]
    kept = {
        **task.postprocessing,
        THRESHOLDS: thresholds,
        CHOSEN_FOR: {"wish": ", ".join(told), "images": len(records)},
    }
    return replace(task, postprocessing=kept)


def _met(records: Sequence[TagRecord], task: TaskManifest, wish: Wish) -> dict[str, float]:
    names = task.labels if wish.of is None else (wish.of,)
    if wish.name == "at":
        return dict.fromkeys(names, wish.value or 0.0)
    rows, found, unmet = stacked(records), dict[str, float](), None
    assert rows.marks is not None, "they have truth"
    for name in names:
        place = task.labels.index(name)
        try:
            own = replace(wish, of=name)
            found[name] = choose(rows.probabilities[:, place], rows.marks[:, place], own).threshold
        except UnmetWishError as error:
            unmet = error
    if unmet is not None and not found:
        raise unmet
    return found
