"""Which labels are likely wrong: what a linear classifier on frozen features says of each picture when it has not seen it.

All left-out predictions follow from one factorisation (ridge.py), so thousands of labels are judged in seconds. The score is the
self-confidence of confident learning (Northcutt, Jiang and Chuang, 2021): the probability of the given class. Pictures that are
nearly the same are left out together, or a wrong label would vouch for its twin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import SPLITS, Samples
from pocketvision.data.splits import unite
from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.temperature import fit_temperature
from pocketvision.training.ridge import solve_ridge

_STEEP = 10.0  # Regressed values lie from 0 to 1; a temperature is found from here.
_LEAST = 1e-7
COLUMNS = ("path", "label", "suggested", "score")

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LabelProblems:
    """Of n labelled pictures, the most suspicious first.

    rows: (n) places in `samples`. scores: (n) probability of the given class, ascending. others: (n) that of the likeliest other
    class. suggested: (n) its index. alone: pictures that are the only one of their class, of which nothing can be said;
    they are not among the rows.
    """

    samples: Samples
    rows: NDArray[np.int64]
    scores: Floats
    others: Floats
    suggested: NDArray[np.int64]
    alone: int = 0

    @property
    def doubtful(self) -> int:
        """How many labels another class is likelier than."""
        return int(self._doubtful.sum())

    @property
    def _doubtful(self) -> NDArray[np.bool_]:
        return self.others > self.scores

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found, in sentences."""
        said = f"Of {counted(len(self.rows), 'label')} {self.doubtful} may be wrong: another class is likelier there."
        kept = f"{counted(self.alone, 'picture')} could not be judged: the only one of a class."
        return (said, kept) if self.alone else (said,)

    def table(self) -> list[list[object]]:
        """A row for each picture: COLUMNS, and its split where there are splits. A person mends `label`."""
        samples, names = self.samples, self.samples.class_names
        table = list[list[object]]()
        places = (self.rows.tolist(), self.scores.tolist(), self.suggested.tolist(), self._doubtful.tolist())
        for row, score, other, doubtful in zip(*places, strict=True):
            split = [] if samples.splits is None else [SPLITS[samples.splits[row]]]
            suggested = names[other] if doubtful else ""
            table.append([samples.paths[row], samples.class_name(row), suggested, round(score, 4), *split])
        return table


def require_judged(samples: Samples) -> None:
    """Raise UsageError, before the work, where labels can not be judged: nothing has a class, or there is one class."""
    if samples.classes is None:
        raise UsageError(
            f"{samples.root}: labels are judged of pictures that have one class each, and these have {', '.join(samples.truth)}. "
            "Objects and masks are judged by a model's answers: add --bundle BUNDLE. Of tags and numbers `pocketvision evaluate "
            "BUNDLE DATA` lists the answers that differ most."
        )
    _require_two(samples, samples.labels[samples.labels >= 0])


def label_problems(
    samples: Samples, pairs: NDArray[np.integer], features: Floats, readable: NDArray[np.bool_]
) -> LabelProblems:
    """The labels of readable pictures. pairs: (m, 2) samples that are nearly the same. features: (n, d) of all, numbers where
    `readable` (n) is true. Raises UsageError as require_judged does, and for features that are no numbers."""
    require_judged(samples)
    labelled = np.flatnonzero(readable & (samples.labels >= 0))
    clusters = unite(len(samples), pairs, samples.groups)[labelled]
    labels = samples.labels[labelled].astype(np.int64)
    _require_two(samples, labels)
    judged = _several(labels, clusters)
    scores, others, suggested = left_out_shares(features[labelled], labels, clusters)
    order = np.flatnonzero(judged)[np.argsort(scores[judged], kind="stable")]
    return LabelProblems(samples, labelled[order], scores[order], others[order], suggested[order], int((~judged).sum()))


def left_out_shares(
    features: Floats, labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """(n) probabilities of the given labels (n), those of the likeliest other classes, and these, each said by a fit without the
    row's group.

    Raises UsageError for features that are no numbers, and where all rows are of one group.
    """
    targets = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]

    def loss(left_out: Floats) -> float:
        shares = softmax(_STEEP * left_out, fit_temperature(_STEEP * left_out, labels))
        return float(-np.log(np.maximum(shares[np.arange(len(labels)), labels], _LEAST)).mean())

    try:
        ridge = solve_ridge(features, targets, groups=groups, loss=loss)
    except ValueError as error:
        raise UsageError(f"The labels can not be judged: {error}.") from error
    logits = _STEEP * ridge.left_out
    shares, rows = softmax(logits, fit_temperature(logits, labels)), np.arange(len(labels))
    given = shares[rows, labels].copy()
    shares[rows, labels] = -1.0
    return given, shares.max(axis=1), shares.argmax(axis=1).astype(np.int64)


def _require_two(samples: Samples, labels: NDArray[np.integer]) -> None:
    classes = len(np.unique(labels))
    if classes < 2:
        raise UsageError(
            f"{samples.root}: its readable pictures are in {counted(classes, 'class')}; labels are judged by what tells two or "
            "more apart."
        )


def _several(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n) whether a class has pictures in another group too: else what is left out takes the whole class along."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return np.bincount(pairs[0], minlength=int(labels.max()) + 1)[labels] > 1
