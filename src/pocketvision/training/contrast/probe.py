"""How much of classes the features of a network that saw no labels tell: by their neighbours, and by a line."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import SPLITS
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.truth import CLASSIFICATION

NEIGHBOURS, SOFTNESS = 20, 0.07
"""How many neighbours vote, and the temperature of their weights (Wu et al. 2018, https://arxiv.org/abs/1805.01978)."""

_ROUNDS = 300
MOST = 2000
"""Images of a probe: enough to tell a percent."""
_BATCH = 64


Features = Callable[[Iterable[NDArray[np.float32]]], NDArray[np.float32]]
"""From preprocessed images in batches to their features, (n, channels)."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Labelled images: files that a probe learns from and files that it is judged on, and the classes of both."""

    learned_files: Sequence[Path]
    learned: NDArray[np.int64]
    judged_files: Sequence[Path]
    judged: NDArray[np.int64]
    preprocessing: Preprocessing

    def figures(self, features: Features) -> dict[str, float]:
        """`neighbours` and `line`: the shares that are right."""
        known, asked = (features(self._batches(files)) for files in (self.learned_files, self.judged_files))
        near = neighbours_answers(known, self.learned, asked)
        line = linear_answers(known, self.learned, asked)
        return {"neighbours": float((near == self.judged).mean()), "line": float((line == self.judged).mean())}

    def _batches(self, files: Sequence[Path]) -> Iterator[NDArray[np.float32]]:
        loaded = prefetch(self.preprocessing, files, ahead=2 * _BATCH)
        while batch := list(islice(loaded, _BATCH)):
            yield np.stack(batch)


def read_probe(data: Path, preprocessing: Preprocessing, seed: int) -> Probe:
    """Labelled images of `data`: its training and its validation split; without splits half of each. At most MOST of either.

    Raises UsageError for data without classes.
    """
    samples = read_samples(data, task=CLASSIFICATION)
    labelled = samples.select(np.flatnonzero(samples.labels >= 0))
    random = np.random.default_rng([seed, 2])
    order = random.permutation(len(labelled))
    if labelled.splits is None:
        rows = [order[::2], order[1::2]]
    else:
        rows = [order[labelled.splits[order] == SPLITS.index(name)] for name in ("train", "val")]
    learned, judged = (each[:MOST] for each in rows)
    if len(np.unique(labelled.labels[learned])) < 2 or not len(judged):
        raise UsageError(
            f"{data} has too few labelled images for a probe: expected two classes to learn, and some to judge by."
        )
    files = [[labelled.file(int(row)) for row in each] for each in (learned, judged)]
    classes = [labelled.labels[each].astype(np.int64) for each in (learned, judged)]
    return Probe(files[0], classes[0], files[1], classes[1], preprocessing)


def neighbours_answers(
    known: NDArray[np.float32], classes: NDArray[np.int64], asked: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The class that the nearest of the known, by their cosine, vote for, (m); each vote weighs exp(cosine / SOFTNESS)."""
    directions, others = (
        each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (known, asked)
    )
    cosines = others @ directions.T
    nearest = np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]
    weights = np.exp(np.take_along_axis(cosines, nearest, axis=1) / SOFTNESS)
    votes = np.zeros((len(asked), int(classes.max()) + 1))
    np.add.at(votes, (np.arange(len(asked))[:, None], classes[nearest]), weights)
    found: NDArray[np.int64] = votes.argmax(axis=1)
    return found


def linear_answers(
    known: NDArray[np.float32], classes: NDArray[np.int64], asked: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The class of a logistic regression on standardised features, (m)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_ROUNDS)).fit(known, classes)
    found: NDArray[np.int64] = line.predict(asked)
    return found
