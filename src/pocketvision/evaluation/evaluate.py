"""An evaluation: a predictor asked about labelled images, and everything that follows from its answers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.baseline import Distribution, baseline
from pocketvision.data.learned_from import Matches
from pocketvision.data.samples import Samples
from pocketvision.errors import PocketVisionError, unknown_name
from pocketvision.evaluation.overlap import UNKNOWN, WORDS, Overlap, Role, without_seen
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.printable import counted
from pocketvision.runtime.predictor import BATCH, Predictor
from pocketvision.tasks.classification.calibration import Calibration, calibration
from pocketvision.tasks.classification.decode import LOGITS
from pocketvision.tasks.classification.metrics import ClassificationMetrics, classification_metrics

# Mistakes written to JSON; `Evaluation.mistakes` has them all.
MISTAKES_IN_JSON = 100


@dataclass(frozen=True)
class Mistake:
    """A wrong answer. probability: of the predicted class; true_probability: of the true one."""

    path: str
    true: str
    predicted: str
    probability: float
    true_probability: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "true": self.true,
            "predicted": self.predicted,
            "probability": self.probability,
            "true_probability": self.true_probability,
        }


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read and so is in no figure."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A classifier measured on n readable labelled images.

    name: what the images are: "validation", "test" or a name of the caller's.
    role: what they were to the training (overlap.py). overlap: how many of the images given it had seen; these are in no figure,
    unless there are no others. None where it can not be known.
    root: the folder that relative paths start from. paths: (n). labels: (n) int64, index into `class_names`.
    probabilities: (n, classes) float32, the bundle's answers.
    mistakes: every wrong answer, the most confident first. seconds: wall time of reading and predicting.
    brightness: (n) float32, see baseline.py; None where it was not measured.
    """

    name: str
    role: Role
    class_names: tuple[str, ...]
    root: Path
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    metrics: ClassificationMetrics
    calibration: Calibration
    mistakes: tuple[Mistake, ...]
    unreadable: tuple[Unreadable, ...]
    seconds: float
    brightness: NDArray[np.float32] | None = None
    overlap: Overlap | None = None

    @property
    def selection(self) -> bool | None:
        """True when the images took part in the training (chose its epoch, or were learned from), so that the figures flatter;
        False when they are untouched; None when nobody can tell."""
        return None if self.role == "given" else self.role != "test"

    @property
    def word(self) -> str:
        """What the images were to the training, in words."""
        if self.role == "given" and self.overlap is not None:
            return "none of which it learned from"
        return WORDS[self.role]

    @property
    def overlap_text(self) -> str:
        """A sentence about the images that the model has seen before; empty where there are none, or it is clear from `word`."""
        if self.overlap is None:
            return "" if self.role != "given" else UNKNOWN
        return self.overlap.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: every figure by name, and the worst mistakes. No NaN."""
        return {
            "name": self.name,
            "role": self.role,
            "selection": self.selection,
            "learned_from": None if self.overlap is None else self.overlap.to_dict(),
            **self.metrics.to_dict(),
            "calibration": self.calibration.to_dict(),
            "mistakes": [mistake.to_dict() for mistake in self.mistakes[:MISTAKES_IN_JSON]],
            "mistake_count": len(self.mistakes),
            "unreadable": [{"path": image.path, "reason": image.reason} for image in self.unreadable],
            "unreadable_count": len(self.unreadable),
            "seconds": self.seconds,
        }

    def summary(self) -> dict[str, Any]:
        """What a bundle keeps: `to_dict` without curves and without a word about single files."""
        left_out = ("roc_curves", "pr_curves", "mistakes", "unreadable", "seconds")
        kept = {name: value for name, value in self.to_dict().items() if name not in left_out}
        if self.overlap is not None:
            kept["learned_from"] = {name: value for name, value in self.overlap.to_dict().items() if name != "files"}
        return {**kept, "left_out": 0 if self.overlap is None else self.overlap.left_out}

    def baseline(self, split: str) -> dict[str, Distribution]:
        """What a bundle keeps to hold later images against (baseline.py); empty where brightness was not measured."""
        return {} if self.brightness is None else baseline(self.probabilities.max(axis=1), self.brightness, split)


def evaluate_predictor(
    predictor: Predictor,
    samples: Samples,
    *,
    name: str = "test",
    role: Role = "given",
    matches: Matches | None = None,
    positive: str | None = None,
    batch: int = BATCH,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Ask `predictor` about every image of `samples` and measure the answers.

    Classes are matched by name, so a class that `samples` lacks shifts no other. Unreadable images are listed and left
    out. role: see Evaluation; of images that took part in the training, calibration is cross-fitted: they fitted the
    temperature too. matches: which of them the model has seen before, row by row; None where nobody knows. They are
    answered, and left out of the figures. positive: with two classes, the one whose figures stand for the whole (default: the
    last). seed: the bootstrap's and the folds'. batch, workers, max_pixels: see `Predictor.stream`. on_progress: called with the
    images done and their total. Raises UsageError for a class that the predictor does not know, PocketVisionError when no
    image is readable.
    """
    labels, task, started = matched_labels(samples, predictor.labels), predictor.bundle.task, time.perf_counter()
    places: list[int] = []
    logits: list[NDArray[np.float32]] = []
    probabilities: list[NDArray[np.float32]] = []
    brightness: list[float | None] = []
    unreadable: list[Unreadable] = []
    files = (samples.file(index) for index in range(len(samples)))
    for index, row in enumerate(predictor.stream(files, batch=batch, workers=workers, max_pixels=max_pixels)):
        if row.error is not None:
            unreadable.append(Unreadable(samples.paths[index], row.error))
        else:
            places.append(index)
            logits.append(row.outputs[task.outputs[LOGITS]][0])
            probabilities.append(row.prediction.probabilities)
            brightness.append(row.brightness)
        if on_progress is not None:
            on_progress(index + 1, len(samples))
    if not places:
        raise PocketVisionError(_nothing_to_measure(samples, unreadable))
    return evaluate_answers(
        np.stack(logits),
        np.stack(probabilities),
        labels[places],
        predictor.labels,
        root=samples.root,
        paths=[samples.paths[index] for index in places],
        temperature=task.postprocessing.get("temperature", 1.0),
        name=name,
        role=role,
        matches=None if matches is None else matches.of(np.array(places)),
        positive=positive,
        unreadable=unreadable,
        seconds=time.perf_counter() - started,
        seed=seed,
        brightness=None if None in brightness else np.array(brightness, np.float32),
    )


def evaluate_answers(
    logits: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    labels: NDArray[np.integer],
    class_names: tuple[str, ...],
    *,
    root: Path,
    paths: Sequence[str],
    temperature: float,
    name: str = "test",
    role: Role = "given",
    matches: Matches | None = None,
    positive: str | None = None,
    unreadable: Sequence[Unreadable] = (),
    seconds: float = 0.0,
    seed: int = 0,
    brightness: NDArray[np.float32] | None = None,
) -> Evaluation:
    """Measure answers that are at hand already; everything as in `evaluate_predictor` and Evaluation.

    logits, probabilities: (n, classes), n >= 1. labels: (n,) true classes. temperature: the one inside `probabilities`.
    """
    truth, overlap = labels.astype(np.int64), None
    if matches is not None:
        role, kept, overlap = without_seen(role, matches, paths)
        if overlap.left_out:
            whole = classification_metrics(truth, probabilities, class_names, positive=positive, seed=seed)
            overlap = replace(overlap, with_them=whole)
            logits, probabilities, truth = logits[kept], probabilities[kept], truth[kept]
            paths = [path for path, keep in zip(paths, kept.tolist(), strict=True) if keep]
            brightness = None if brightness is None else brightness[kept]
    cross_fit = role in ("learned", "selection")
    return Evaluation(
        name=name,
        role=role,
        class_names=class_names,
        root=root,
        paths=tuple(paths),
        labels=truth,
        probabilities=probabilities,
        metrics=classification_metrics(truth, probabilities, class_names, positive=positive, seed=seed),
        calibration=calibration(logits, probabilities, truth, temperature=temperature, cross_fit=cross_fit, seed=seed),
        mistakes=_mistakes(paths, truth, probabilities, class_names),
        unreadable=tuple(unreadable),
        seconds=seconds,
        brightness=brightness,
        overlap=overlap,
    )


def matched_labels(samples: Samples, class_names: tuple[str, ...]) -> NDArray[np.int64]:
    """(n,) the label of every sample as an index into `class_names`, matched by name.

    Raises UsageError that names a class of `samples` that has images and is not in `class_names`.
    """
    index_of = {name: index for index, name in enumerate(class_names)}
    counts = samples.label_counts()
    for name, count in zip(samples.class_names, counts, strict=True):
        if count and name not in index_of:
            raise unknown_name(f"class ({counted(count, 'image')} in {samples.root})", name, class_names)
    places = np.array([index_of.get(name, -1) for name in samples.class_names], np.int64)
    return places[samples.labels]


def _mistakes(
    paths: Sequence[str], labels: NDArray[np.int64], probabilities: NDArray[np.float32], class_names: tuple[str, ...]
) -> tuple[Mistake, ...]:
    guesses = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    by_confidence = wrong[np.argsort(-probabilities[wrong, guesses[wrong]], kind="stable")]
    return tuple(
        Mistake(
            path=paths[index],
            true=class_names[labels[index]],
            predicted=class_names[guesses[index]],
            probability=float(probabilities[index, guesses[index]]),
            true_probability=float(probabilities[index, labels[index]]),
        )
        for index in by_confidence.tolist()
    )


def _nothing_to_measure(samples: Samples, unreadable: list[Unreadable]) -> str:
    if not unreadable:
        return f"{samples.root}: there are no images to evaluate."
    first = unreadable[0]
    return (
        f"{samples.root}: of {counted(len(unreadable), 'image')} none can be read; the first is {first.path} "
        f"({first.reason}). `pocketvision check` lists them all."
    )
