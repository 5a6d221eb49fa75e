"""A classifier's thresholds, chosen by wishes on labelled images, such that its very answers to them are as was wished."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import counted, quoted
from pocketvision.tasks.classification.decision import Decision
from pocketvision.tasks.classification.metrics import positive_index
from pocketvision.tasks.classification.record import ClassRecord, stacked
from pocketvision.tasks.manifest import CHOSEN_FOR, THRESHOLDS, TaskManifest
from pocketvision.tasks.thresholds import OperatingPoint, Sweep, UnmetWishError, Wish, choose, unmet

ROUNDS = 5
"""Each class's threshold depends on the others': so often at most they are chosen in turn."""

_HALF = 0.5
_LARGEST_SHARE = 1 - 1e-12
_ROUNDING = 1e-9

Thresholds = NDArray[np.float64]
"""(classes,)"""


def decide(records: Sequence[ClassRecord], task: TaskManifest) -> list[ClassRecord]:
    """The same records, answered as `task` says now."""
    decision = Decision.of(task)
    if decision.is_plain:
        return [replace(each, answer=None, unsure=None) for each in records]
    probabilities = np.stack([each.probabilities for each in records])
    scores = decision.scores(probabilities)
    unsure = decision.unsure(scores.max(axis=1), probabilities)
    return [
        replace(each, answer=place, unsure=doubt)
        for each, place, doubt in zip(records, scores.argmax(axis=1).tolist(), unsure.tolist(), strict=True)
    ]


def choose_thresholds(
    records: Sequence[ClassRecord], task: TaskManifest, wishes: Sequence[Wish], positive: str | None = None
) -> TaskManifest:
    """`task` with the thresholds that `wishes` ask for on the n >= 1 records, which have truth.

    With two classes one wish is for `positive` (None: the last), or for the class that it names. With more, a wish is for the
    class that it names, the others' thresholds staying as they are; one that names none is for every class with images, and the
    thresholds are chosen in turn, starting from those there are. Of all that were met on the way, those are taken that meet most
    wishes, then those with the highest F1, averaged over the classes (for a cost, with the lowest cost).

    Raises UsageError for an unknown class or contradictory wishes, UnmetWishError for what these images do not allow.
    """
    for wish in wishes:
        if wish.of is not None and wish.of not in task.labels:
            raise unknown_name("class", wish.of, task.labels)
    target = positive_index(task.labels, positive)
    if target is not None:
        found = _for_two(records, task, wishes, target)
    elif all(wish.name == "at" for wish in wishes):
        found = _told(task, wishes)
    else:
        answers = stacked(records)
        found = _for_many(answers.probabilities, answers.labels, task, wishes)
    told = dict(zip(task.labels, found.tolist(), strict=True))
    chosen = {"wishes": [wish.text for wish in wishes], "images": len(records)}
    return replace(task, postprocessing={**task.postprocessing, THRESHOLDS: told, CHOSEN_FOR: chosen})


def points(records: Sequence[ClassRecord], task: TaskManifest) -> dict[str, OperatingPoint]:
    """By class, what the answers of n >= 1 records with truth are, decided by the task as it is. Without thresholds every class
    has one half."""
    answers = stacked(records)
    found = _points(answers.probabilities, answers.labels, _present(task))
    return dict(zip(task.labels, found, strict=True))


def sweep_of(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], thresholds: Thresholds, own: int
) -> Sweep:
    """What becomes of class `own` when its threshold changes and the others stay: by its share against its strongest rival."""
    return Sweep.of(_shares(probabilities, thresholds, own), labels == own)


def share_at(thresholds: Thresholds, own: int) -> float:
    """Where a class stands in its sweep now."""
    return float(thresholds[own] / (1 + thresholds[own])) if len(thresholds) > 2 else float(thresholds[own])


def _for_two(records: Sequence[ClassRecord], task: TaskManifest, wishes: Sequence[Wish], target: int) -> Thresholds:
    """One threshold t and its complement."""
    if len(wishes) != 1:
        told = ", ".join(wish.text for wish in wishes)
        raise UsageError(f"Two classes have one threshold, and {len(wishes)} wishes are told: {told}.")
    wish = wishes[0]
    own = target if wish.of is None else task.labels.index(wish.of)
    threshold = wish.value or 0.0
    if wish.name != "at":
        answers = stacked(records)
        threshold = choose(
            answers.probabilities[:, own], answers.labels == own, replace(wish, of=task.labels[own])
        ).threshold
    return np.array([threshold if place == own else 1 - threshold for place in range(2)])


def _told(task: TaskManifest, wishes: Sequence[Wish]) -> Thresholds:
    """Thresholds that are wishes themselves, which needs no images."""
    thresholds = _present(task)
    for own, wish in _by_class((), task, wishes).items():
        thresholds = _changed(thresholds, own, wish.value or 0.0)
    return thresholds


def _present(task: TaskManifest) -> Thresholds:
    found = Decision.of(task).thresholds
    return np.full(len(task.labels), _HALF) if found is None else found


def _changed(thresholds: Thresholds, own: int, threshold: float) -> Thresholds:
    """Only how thresholds relate matters, so they are scaled back into [0, 1]."""
    found = thresholds.copy()
    found[own] = threshold
    return found / max(1.0, float(found.max()))


def _for_many(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], task: TaskManifest, wishes: Sequence[Wish]
) -> Thresholds:
    by_class = _by_class(sorted(set(labels.tolist())), task, wishes)
    thresholds = _present(task)
    rank = _ranking(probabilities, labels, by_class)
    best, worth = thresholds, rank(thresholds)
    for _ in range(ROUNDS if len(by_class) > 1 else 1):
        before = thresholds
        for own, wish in by_class.items():
            try:
                thresholds = _with_wish(probabilities, labels, thresholds, own, wish)
            except UnmetWishError:
                if len(by_class) == 1:
                    raise
            if (found := rank(thresholds)) > worth or len(by_class) == 1:
                best, worth = thresholds, found
        if np.allclose(before, thresholds):
            break
    _require_met(probabilities, labels, task, by_class, best)
    return best


def _by_class(there: Sequence[int], task: TaskManifest, wishes: Sequence[Wish]) -> dict[int, Wish]:
    """The wishes by the classes' places. there: those with images."""
    found: dict[int, Wish] = {}
    for wish in wishes:
        own = [task.labels.index(wish.of)] if wish.of is not None else there
        if wish.of is None and wish.name == "at":
            raise UsageError(f"With {len(task.labels)} classes a threshold is one class's: write CLASS:{wish.value:g}.")
        twice = [place for place in own if place in found]
        if twice:
            name = quoted(task.labels[twice[0]])
            raise UsageError(f"Two wishes are for {name}: {found[twice[0]].text} and {wish.text}. Keep one of them.")
        found |= {place: replace(wish, of=task.labels[place]) for place in own}
    return found


def _shares(probabilities: NDArray[np.floating], thresholds: Thresholds, own: int) -> NDArray[np.float64]:
    """(n,) p / (p + m), m being the largest p / t of the other classes; of two classes p itself."""
    values = np.asarray(probabilities, np.float64)
    if values.shape[1] == 2:
        return values[:, own]
    others: NDArray[np.float64] = np.delete(values, own, axis=1) / np.maximum(
        np.delete(thresholds, own), np.finfo(np.float32).tiny
    )
    together = values[:, own] + others.max(axis=1)
    shares = np.zeros(len(values))
    np.divide(values[:, own], together, out=shares, where=together > 0)
    return shares


def _with_wish(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], thresholds: Thresholds, own: int, wish: Wish
) -> Thresholds:
    """The thresholds with that of `own` as wished: an image is answered with it where p / m >= t, so where its share is at least
    t / (1 + t)."""
    if wish.name == "at":
        return _changed(thresholds, own, wish.value or 0.0)
    try:
        share = choose(_shares(probabilities, thresholds, own), labels == own, wish).threshold
    except UnmetWishError as error:
        if error.best is None:
            raise
        found = _changed(thresholds, own, _from_share(error.best.threshold))
        raise unmet(wish, replace(error.best, threshold=float(found[own]))) from None
    return _changed(thresholds, own, _from_share(share))


def _from_share(share: float) -> float:
    share = min(share, _LARGEST_SHARE)
    return share / (1 - share)


def _points(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], thresholds: Thresholds
) -> list[OperatingPoint]:
    """What the answers to these images are, by class."""
    said = Decision(thresholds).scores(probabilities).argmax(axis=1)
    found = []
    for own in range(len(thresholds)):
        hits = int(((said == own) & (labels == own)).sum())
        alarms, misses = int((said == own).sum()) - hits, int((labels == own).sum()) - hits
        found.append(OperatingPoint(float(thresholds[own]), hits, alarms, misses, len(labels)))
    return found


def _figure(point: OperatingPoint, wish: Wish) -> float | None:
    """What a wish with a least value is about; None of others."""
    return {"precision": point.precision, "recall": point.recall}[wish.name] or 0.0 if wish.name in _LEAST else None


_LEAST = ("precision", "recall")


def _is_met(point: OperatingPoint, wish: Wish) -> bool:
    figure = _figure(point, wish)
    return figure is None or figure >= (wish.value or 0.0) - _ROUNDING


def _ranking(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], by_class: dict[int, Wish]
) -> Callable[[Thresholds], tuple[float, ...]]:
    """The greater the better: how many wishes are met, then the cost of those with one, then the mean F1."""
    there = np.unique(labels).tolist()

    def rank(thresholds: Thresholds) -> tuple[float, ...]:
        points = _points(probabilities, labels, thresholds)
        met = sum(_is_met(points[own], wish) for own, wish in by_class.items())
        cost = sum(
            (wish.value or 0.0) * points[own].misses + points[own].false_alarms
            for own, wish in by_class.items()
            if wish.name == "cost"
        )
        return met, -cost, float(np.mean([points[own].f1 or 0.0 for own in there]))

    return rank


def _require_met(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    task: TaskManifest,
    by_class: dict[int, Wish],
    thresholds: Thresholds,
) -> None:
    """Raise UnmetWishError, saying how far the best thresholds that were found came."""
    points = _points(probabilities, labels, thresholds)
    short = [(own, wish) for own, wish in by_class.items() if not _is_met(points[own], wish)]
    if not short:
        return
    told = ", ".join(
        f"{wish.name} {_figure(points[own], wish):.2f} of {quoted(task.labels[own])} (wished: {wish.value:g})"
        for own, wish in short
    )
    raise UnmetWishError(
        f"Not every wish can be met at once on these {counted(len(labels), 'image')}. The best thresholds found meet "
        f"{len(by_class) - len(short)} of {len(by_class)}, and give {told}. Wish for less, or for single classes."
    )
