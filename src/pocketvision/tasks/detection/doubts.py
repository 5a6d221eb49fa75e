"""Which boxes, names and gaps that a person left are likely wrong, by the answers of a detector that has not learned from them.

Four kinds: an answer where no label is (missing), a label whose own answer lies elsewhere (loose), one that is answered with
another name (wrongly named), and one that nothing answers (not an object). That a detector's confidence and its overlap with the
labels tell such errors is the idea of ObjectLab (Tkachenko, Thyagarajan and Mueller, 2023); the scores are our own:

- missing: the answer's score times 1 - the largest overlap with a label;
- loose: the score, times by what share the overlap is below what is usual of the class, of the answer of the label's class that
  comes nearest to it (score times overlap): small objects are seen less exactly;
- wrongly named: the best score of another class around the label, times 1 - the best of its own;
- not an object: 1 - the best score around the label, times the share of the class's labels that are answered: who seldom finds a
  class has little to say where he does not.

An answer is around the label that it overlaps most, of its own class before another's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.record import DetectionRecord
from pocketvision.tasks.manifest import TaskManifest

KINDS = ("missing", "loose", "wrongly named", "not an object")
MISSING, LOOSE, RENAMED, NOTHING = range(len(KINDS))

AROUND = 0.5
"""The overlap from which on an answer is about a label."""

NEAR = 0.1
"""The overlap below which it has nothing to do with it."""

LOOSELY = 0.75
"""Of the overlap that is usual of its class, the share below which a box is called loose."""

ANSWERED, UNANSWERED = 0.1, 0.05
"""The score from which on a label counts as answered, and below which it is as good as not answered."""

RATHER = 0.15
"""The doubt from which on another name is worth a look."""

DOUBTED = 0.5
"""The same of a label that is not answered."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxDoubt:
    """What is most doubtful of a label, or an answer without one.

    image: its place among the records. kind: one of KINDS. doubt: in [0, 1]. likely: whether it is worth a look: what is missing
    or loose where the bundle says so at its own thresholds, the others by RATHER, UNANSWERED and DOUBTED. name, box: of the
    label; None where it is missing. answer, answer_box, score: of the answer that tells; None where nothing answers. Boxes in
    pixels of the upright image.
    """

    image: int
    kind: str
    doubt: float
    likely: bool
    name: str | None = None
    box: Box | None = None
    answer: str | None = None
    answer_box: Box | None = None
    score: float | None = None

    @property
    def text(self) -> str:
        """As in "RBC, rather WBC 91%"."""
        said = "" if self.score is None else f"{self.answer} {self.score:.0%}"
        return {
            KINDS[MISSING]: f"rather {said}",
            KINDS[LOOSE]: f"{self.name}, seen elsewhere as {said}",
            KINDS[RENAMED]: f"{self.name}, rather {said}",
            KINDS[NOTHING]: f"{self.name}, seen by nothing",
        }[self.kind]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Of an image's m labels that count and its k answers.

    objects: (m) their places. nearest, other: (m) the answers of its class and of another that tell, -1 for none. overlap: (m)
    with the nearest. nearest_score, renamed: (m) its score, 0 for none, and the doubt of the name. support: (m) the best score
    around each. left: the answers without a label, left_doubts: theirs.
    """

    objects: NDArray[np.int64]
    nearest: NDArray[np.int64]
    other: NDArray[np.int64]
    overlap: NDArray[np.float64]
    nearest_score: NDArray[np.float64]
    renamed: NDArray[np.float64]
    support: NDArray[np.float64]
    left: NDArray[np.int64]
    left_doubts: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Usual:
    """Of each class: the overlap of its labels with their answers, 1 where none has any; the share that is answered."""

    overlap: NDArray[np.float64]
    answered: NDArray[np.float64]


def doubts_of(records: Sequence[DetectionRecord], task: TaskManifest) -> list[BoxDoubt]:
    """Of n records with truth: one of each label that counts (no crowds, nothing difficult), and one of each answer without one,
    the likely errors first, then the greatest doubt first."""
    seen = [_seen(each) for each in records]
    usual = _usual(seen, records, len(task.labels))
    found: list[BoxDoubt] = []
    for image, (record, own) in enumerate(zip(records, seen, strict=True)):
        found += _labels(image, record, own, usual, task.labels)
        for place, doubt in zip(own.left.tolist(), own.left_doubts.tolist(), strict=True):
            told = _told(record, place, task.labels)
            found.append(BoxDoubt(image, KINDS[MISSING], doubt, bool(record.said[place]), None, None, *told))
    return sorted(found, key=lambda each: (not each.likely, -each.doubt))


def _seen(record: DetectionRecord) -> _Seen:
    there, found = record.there, record.found
    assert there is not None, "it has truth"
    objects = np.flatnonzero(~there.ignored[0])
    scores, overlaps = found.scores.astype(np.float64), ious(found.boxes, there.boxes, there.crowd)
    same = found.classes[:, None] == there.classes[None]
    mine, own, same = _belonging(overlaps, same)[:, None] == objects[None], overlaps[:, objects], same[:, objects]
    about, weights = mine & (own >= AROUND), scores[:, None]
    of_class, _ = _best(np.where(about & same, weights, 0))
    of_other, other = _best(np.where(about & ~same, weights, 0))
    _, nearest = _best(np.where(mine & same & (own >= NEAR), weights * own, 0))
    support, _ = _best(np.where(mine, weights * np.minimum(own / AROUND, 1), 0))
    overlap, nearest_score, has = np.zeros(len(objects)), np.zeros(len(objects)), np.flatnonzero(nearest >= 0)
    overlap[has], nearest_score[has] = own[nearest[has], has], scores[nearest[has]]
    largest = overlaps.max(axis=1, initial=0)
    free = np.flatnonzero((largest < AROUND) & ~np.isin(np.arange(len(found)), nearest))
    left = free[_apart(found.boxes[free], scores[free])]
    left_doubts = scores[left] * (1 - largest[left])
    renamed = of_other * (1 - of_class)
    return _Seen(objects, nearest, other, overlap, nearest_score, renamed, support, left, left_doubts)


def _belonging(overlaps: NDArray[np.float64], same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(k) the label that each of k answers is about, -1 for none: the one of its class that it overlaps most where it is AROUND
    that, else the one of any. overlaps, same: (k, m)."""
    if not overlaps.size:
        return np.full(len(overlaps), -1)
    of_class = np.where(same, overlaps, -1)
    found = np.where(of_class.max(axis=1) >= AROUND, of_class.argmax(axis=1), overlaps.argmax(axis=1))
    return np.where(overlaps.max(axis=1) > 0, found, -1)


def _best(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(m) the largest of each column of (k, m), and its row, -1 where that is 0."""
    if not len(values):
        return np.zeros(values.shape[1]), np.full(values.shape[1], -1)
    best = values.max(axis=0)
    return best, np.where(best > 0, values.argmax(axis=0), -1)


def _apart(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of k answers, the best of each place, whatever it is called."""
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if not kept or ious(boxes[[place]], boxes[kept]).max() < AROUND:
            kept.append(place)
    return np.array(kept, np.int64)


def _usual(seen: Sequence[_Seen], records: Sequence[DetectionRecord], classes: int) -> _Usual:
    there = [each.there.classes[own.objects] for each, own in zip(records, seen, strict=True) if each.there is not None]
    named, support = np.concatenate(there), np.concatenate([each.support for each in seen])
    overlap = np.concatenate([each.overlap for each in seen])
    usual = _Usual(np.ones(classes), np.zeros(classes))
    for place in np.unique(named).tolist():
        own = named == place
        usual.answered[place] = (support[own] >= ANSWERED).mean()
        if overlap[own].any():
            usual.overlap[place] = np.median(overlap[own & (overlap > 0)])
    return usual


def _labels(
    image: int, record: DetectionRecord, seen: _Seen, usual: _Usual, names: tuple[str, ...]
) -> Iterator[BoxDoubt]:
    there, places = record.there, np.arange(len(seen.objects))
    assert there is not None, "it has truth"
    classes, said = there.classes[seen.objects], np.append(record.said, False)[seen.nearest]
    below = 1 - seen.overlap / usual.overlap[classes]
    loose = seen.nearest_score * np.maximum(below, 0)
    nothing = (1 - seen.support) * usual.answered[classes]
    doubts = np.stack([np.full(len(places), -1.0), loose, seen.renamed, nothing])
    likely = np.stack(
        [
            np.zeros(len(places), np.bool_),
            said & (below > 1 - LOOSELY),
            seen.renamed >= RATHER,
            (seen.support < UNANSWERED) & (nothing >= DOUBTED),
        ]
    )
    kinds = (doubts + likely).argmax(axis=0)
    tells = np.stack([np.full(len(places), -1), seen.nearest, seen.other, np.full(len(places), -1)])[kinds, places]
    for place, (kind, answer) in enumerate(zip(kinds.tolist(), tells.tolist(), strict=True)):
        told = (None, None, None) if answer < 0 else _told(record, answer, names)
        label = (names[classes[place]], _box(there.boxes[seen.objects[place]]))
        yield BoxDoubt(image, KINDS[kind], float(doubts[kind, place]), bool(likely[kind, place]), *label, *told)


def _told(record: DetectionRecord, place: int, names: tuple[str, ...]) -> tuple[str, Box, float]:
    found = record.found
    return names[found.classes[place]], _box(found.boxes[place]), float(found.scores[place])


def _box(numbers: NDArray[np.float64]) -> Box:
    left, top, right, bottom = numbers.tolist()
    return left, top, right, bottom
