"""Which classes are taken for each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.diagnosis.finding import Finding
from pocketvision.tasks.classification.record import stacked
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.detection.metrics import DetectionMetrics
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import Metrics
from pocketvision.tasks.segmentation.metrics import SegmentationMetrics

SHARE, FEWEST = 0.15, 3
"""Of a class that is called another's name, and of how many pictures at least, from which it is worth a look."""

PAIRS = 3


def confused(name: str, task: TaskManifest, records: Sequence[Any], metrics: Metrics) -> Finding:
    """Of the validation pictures, by the kind of task."""
    about = f"confused classes of {name}"
    if task.kind == CLASSIFICATION:
        answers = stacked([each for each in records if each is not None])
        labelled = answers.labels >= 0
        counts = np.zeros((len(task.labels), len(task.labels)), np.int64)
        np.add.at(counts, (answers.labels[labelled], answers.answers[labelled]), 1)
        return _of_counts(about, task.labels, counts, "pictures", FEWEST)
    if isinstance(metrics, SegmentationMetrics):
        names = tuple(each.name for each in metrics.per_class)
        return _of_counts(about, names, metrics.confusion[:, : len(names)], "pixels", 1)
    if isinstance(metrics, DetectionMetrics):
        return _of_objects(about, metrics)
    return Finding(about, "unknown", f"A task of kind {task.kind} has no classes that could be taken for each other.")


def _of_counts(about: str, names: Sequence[str], counts: NDArray[np.int64], what: str, fewest: int) -> Finding:
    there = counts.sum(axis=1)
    wrong = counts / np.maximum(there, 1)[:, None]
    np.fill_diagonal(wrong, 0)
    order = np.dstack(np.unravel_index(np.argsort(-wrong, axis=None), wrong.shape))[0][:PAIRS].tolist()
    pairs = [(meant, said) for meant, said in order if wrong[meant, said] > 0]
    if not pairs:
        return Finding(about, "fine", "No class of the validation pictures was taken for another.")
    told = "; ".join(
        f"{names[meant]} called {names[said]} in {counts[meant, said]} of {there[meant]} {what} ({wrong[meant, said]:.0%})"
        for meant, said in pairs
    )
    figures = {
        "pairs": [[names[meant], names[said], int(counts[meant, said]), int(there[meant])] for meant, said in pairs]
    }
    meant, said = pairs[0]
    if wrong[meant, said] >= SHARE and counts[meant, said] >= fewest:
        step = (
            f"Look at the pictures of {names[meant]} and {names[said]} (report.html shows them): wrong labels first, then more "
            "pictures of both, then a larger input."
        )
        return Finding(about, "look", f"{told}.", step, figures)
    return Finding(about, "fine", f"Most often: {told}.", figures=figures)


def _of_objects(about: str, metrics: DetectionMetrics) -> Finding:
    """The share of average precision that wrong names cost."""
    error = metrics.errors.get("class")
    if error is None:
        return Finding(about, "unknown", f"The figures of {DETECTION} tell no errors of names.")
    figures = {"count": error.count, "gain": error.gain}
    text = f"{error.count} objects were found in their place with another class's name, which costs {error.gain:.1%} of AP50"
    if error.gain >= SHARE / 3 and error.count >= FEWEST:
        return Finding(
            about, "look", f"{text}.", "Look at these objects' classes: pocketvision check DATA, report.html.", figures
        )
    return Finding(about, "fine", f"{text}.", figures=figures)
