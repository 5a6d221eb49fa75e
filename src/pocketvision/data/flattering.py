"""How far a validation flatters: a quick linear head on frozen features, validated by a random split and by one that parts no
likely group. Needs numpy alone, and a second or two for thousands of pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.likely_groups import LikelyGroups, Vectors
from pocketvision.data.samples import Samples
from pocketvision.data.splits import unite
from pocketvision.statistics import Interval, wilson

_FOLDS = 5
_STRENGTH = 0.01  # of ridge regression on vectors of length 1, as in benchmarks/grouped_split.py
_TRAIN, _VALIDATION = 0, 1


@dataclass(frozen=True)
class RightAnswers:
    """Right answers of so many."""

    hits: int
    images: int

    @property
    def value(self) -> float | None:
        """In [0, 1]; None of no images."""
        return self.hits / self.images if self.images else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's, of 95 %; None of no images."""
        return wilson(self.hits, self.images)

    @property
    def text(self) -> str:
        """As in "97.1 % (95 %: 96.2 to 97.9, of 1,200)"."""
        if self.interval is None:
            return "nothing to measure"
        low, high = 100 * self.interval.low, 100 * self.interval.high
        return f"{100 * self.hits / self.images:.1f} % (95 %: {low:.1f} to {high:.1f}, of {self.images:,})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        bounds = None if self.interval is None else [self.interval.low, self.interval.high]
        return {"share": self.value, "interval": bounds, "images": self.images}


@dataclass(frozen=True, eq=False)
class Flattery:
    """What likely groups do to a validation.

    given: whether the data has splits, whose validation is meant; else five folds by chance, each picture validated once.
    with_twin: validated pictures with one of their group among those learned from. everything, rest: the quick head on all
    validated pictures, and on those without. grouped: on folds that part no group; None for given splits.
    """

    groups: LikelyGroups
    given: bool
    with_twin: int
    everything: RightAnswers
    rest: RightAnswers
    grouped: RightAnswers | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found, a sentence each."""
        if not self.groups.why:
            return (self.groups.text,)
        split = "The validation given" if self.given else "A random split"
        share = f"{self.with_twin / max(self.everything.images, 1):.0%}"
        found = [
            self.groups.text,
            f"{split} has a picture of the same group in training for {share} of its validation. A quick head on frozen "
            f"features is right on {self.everything.text}; on the rest alone {self.rest.text}.",
        ]
        if self.grouped is not None:
            found.append(
                f"Split by these groups, it is right on {self.grouped.text}: closer to what new ones will see."
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "groups": self.groups.count,
            "images_in_groups": self.groups.images,
            "evidence": list(self.groups.why),
            "given_splits": self.given,
            "with_twin": self.with_twin,
            "all": self.everything.to_dict(),
            "rest": self.rest.to_dict(),
            "grouped": None if self.grouped is None else self.grouped.to_dict(),
        }


def flattery(features: Vectors, samples: Samples, groups: LikelyGroups, *, seed: int = 0) -> Flattery | None:
    """Of n classified samples by `features` (n, d); None where a given split has no validation, or nothing is classified."""
    if samples.classes is None:
        return None
    labels = samples.labels.astype(np.int64)
    if samples.splits is not None:
        splits = samples.splits
        if not {_TRAIN, _VALIDATION} <= {*splits.tolist()}:
            return None
        learned, asked = np.flatnonzero(splits == _TRAIN), np.flatnonzero(splits == _VALIDATION)
        right, twin = _validated(features, labels, groups.of, learned, asked)
        return Flattery(groups, True, int(twin.sum()), _counted(right), _counted(right[~twin]))
    right, twin = _cross_validated(features, labels, groups.of, np.arange(len(labels)), seed)
    clusters = unite(len(labels), np.zeros((0, 2), np.int64), groups.of)
    apart, _ = _cross_validated(features, labels, groups.of, clusters, seed)
    return Flattery(groups, False, int(twin.sum()), _counted(right), _counted(right[~twin]), _counted(apart))


def twins_in_training(
    groups: NDArray[np.int64], learned: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(m) whether each of the m `asked` pictures is in a group with one of those `learned` from; both are indices."""
    found: NDArray[np.bool_] = (groups[asked] >= 0) & np.isin(groups[asked], groups[learned])
    return found


def _counted(right: NDArray[np.bool_]) -> RightAnswers:
    return RightAnswers(int(right.sum()), len(right))


def _cross_validated(
    features: Vectors, labels: NDArray[np.int64], groups: NDArray[np.int64], clusters: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n) whether each picture is answered rightly by a head that learned from the other folds, and whether one of its group was
    among those. No cluster is parted."""
    shuffled = np.random.default_rng(seed).permutation(int(clusters.max()) + 1)
    sizes = np.bincount(clusters, minlength=len(shuffled))[shuffled]
    folds = np.empty(len(shuffled), np.int64)
    folds[shuffled] = np.minimum(np.cumsum(sizes) * _FOLDS // (sizes.sum() + 1), _FOLDS - 1)
    right, twin = np.zeros(len(labels), np.bool_), np.zeros(len(labels), np.bool_)
    for fold in range(_FOLDS):
        asked = folds[clusters] == fold
        if asked.any() and not asked.all():
            rows = np.flatnonzero(asked)
            right[rows], twin[rows] = _validated(features, labels, groups, np.flatnonzero(~asked), rows)
    return right, twin


def _validated(
    features: Vectors,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    learned: NDArray[np.int64],
    asked: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return answered_rightly(features, labels, learned, asked), twins_in_training(groups, learned, asked)


def answered_rightly(
    features: Vectors, labels: NDArray[np.int64], learned: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(m) whether a ridge head that learned from the pictures `learned` answers the m asked ones rightly; both are indices."""
    names = np.unique(labels[learned])
    vectors = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    centre = vectors[learned].mean(axis=0)
    rows, targets = (
        (vectors[learned] - centre).astype(np.float64),
        (labels[learned][:, None] == names).astype(np.float64),
    )
    shift = targets.mean(axis=0)
    gram = rows.T @ rows
    gram[np.diag_indices_from(gram)] += _STRENGTH * max(len(learned) / 1000, 0.1)
    weights = np.linalg.solve(gram, rows.T @ (targets - shift))
    answers = names[((vectors[asked] - centre) @ weights + shift).argmax(axis=1)]
    right: NDArray[np.bool_] = answers == labels[asked]
    return right
