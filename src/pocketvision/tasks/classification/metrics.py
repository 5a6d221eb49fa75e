"""The figures of a classifier on labelled images, with 95 % confidence intervals.

A class without images has no figures (None, never 0 or NaN), is left out of every average, and shifts no other class.
scikit-learn is loaded when it is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtraError, PocketVisionError, UsageError, unknown_name
from pocketvision.statistics import (
    Counts,
    Headline,
    Interval,
    bootstrap_areas,
    bootstrap_confusion,
    bootstrap_means,
    wilson,
)
from pocketvision.tasks.classification.averages import averages
from pocketvision.tasks.classification.calibration import Calibration, brier_scores, calibration, log_losses
from pocketvision.tasks.classification.conformal import SetFigures, set_figures
from pocketvision.tasks.classification.coverage import Coverage, abstained
from pocketvision.tasks.classification.curves import Curve, precision_recall_curve, roc_curve
from pocketvision.tasks.classification.record import ClassRecord, stacked
from pocketvision.tasks.classification.vector_scaling import scaling_of
from pocketvision.tasks.manifest import DECIDED_BY, TaskManifest, deciding
from pocketvision.tasks.measuring import MeasureOptions, kept_headline

HEADLINE = "accuracy"
"""The figure that people compare."""

TOP_K = 5
TOP_KS = (2, 3, TOP_K, 10)
"""How many of the most probable classes are looked at for the true one, where there are more classes than that."""

FURTHER = (
    "macro_precision",
    "macro_recall",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "matthews",
    "cohen_kappa",
)
"""Figures from counts (averages.py), beside those that have a name of their own."""

_UNMEASURED = "Can not measure a classifier on {found}; expected at least one image with its answer."
# More curves than this can not be told apart and would fill the JSON; every class has its area in `per_class`.
MAX_CURVES = 20


@dataclass(frozen=True)
class ClassFigures:
    """One class's figures, shares and areas in [0, 1]; None where the evaluated images do not define them."""

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    recall_interval: Interval | None
    roc_auc: float | None
    average_precision: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the name."""
        return {
            "support": self.support,
            "predicted": self.predicted,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "recall_interval": _bounds(self.recall_interval),
            "roc_auc": self.roc_auc,
            "average_precision": self.average_precision,
        }


@dataclass(frozen=True, eq=False)
class ClassificationMetrics:
    """Every figure of one evaluation. Shares and areas in [0, 1]; None where the images do not define them.

    positive: with two classes, the one that precision, recall, f1, roc_auc and average_precision are of; None with more
    classes, where those five are averages over the classes that have images (macro; one against the rest).
    log_loss: in nats. brier: the mean squared distance of the probabilities from the truth, as scikit-learn has it: in [0, 1]
    with two classes, in [0, 2] with more.
    top_k: by k, how often the true class is among the k most probable; of TOP_KS those below the number of classes.
    further: FURTHER by name; None where the images do not define them.
    confusion_matrix: (classes, classes) counts, rows true, columns predicted, in `class_names` order.
    intervals: 95 % bounds by the figure's name; None where there is too little to tell.
    calibration: of the bundle's temperature; None where it was not asked for.
    abstaining: how many answers the bundle is not unsure of, and how good those are; None where it is never unsure.
    sets: how often the sets of classes hold the true one; None where the bundle tells none.
    decided_by: the bundle's thresholds, and below which score it is unsure, where it has some.
    roc_curves, pr_curves: of `positive`, or of the classes with the smallest areas, at most MAX_CURVES, smallest first.
    """

    class_names: tuple[str, ...]
    images: int
    positive: str | None
    accuracy: float
    balanced_accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    macro_f1: float
    top5_accuracy: float | None
    log_loss: float
    brier: float
    top_k: Mapping[int, float]
    further: Mapping[str, float | None]
    roc_auc: float | None
    average_precision: float | None
    intervals: Mapping[str, Interval | None]
    per_class: tuple[ClassFigures, ...]
    confusion_matrix: NDArray[np.int64]
    roc_curves: tuple[Curve, ...]
    pr_curves: tuple[Curve, ...]
    calibration: Calibration | None = None
    abstaining: Coverage | None = None
    sets: SetFigures | None = None
    decided_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def undefined(self) -> tuple[str, ...]:
        """The classes that none of the images is of: they have no figures, and are in no mean."""
        return tuple(each.name for each in self.per_class if not each.support)

    @property
    def headline(self) -> Headline:
        """The accuracy."""
        return Headline(HEADLINE, self.accuracy, self.intervals.get(HEADLINE))

    @property
    def text(self) -> str:
        """As in "accuracy 97.1% (95 %: 90.2% to 99.2%), F1 0.970"."""
        rest = "".join(f", {each.text}" for each in (self.abstaining, self.sets) if each is not None)
        return f"{HEADLINE} {self.headline.text}" + ("" if self.f1 is None else f", F1 {self.f1:.3f}") + rest

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; no NaN."""
        calibration = {} if self.calibration is None else {"calibration": self.calibration.to_dict()}
        abstaining = {} if self.abstaining is None else {"abstaining": self.abstaining.to_dict()}
        sets = {} if self.sets is None else {"prediction_sets": self.sets.to_dict()}
        decided = {DECIDED_BY: dict(self.decided_by)} if self.decided_by else {}
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "positive": self.positive,
            "average": "macro" if self.positive is None else "binary",
            "f1": self.f1,
            "precision": self.precision,
            "recall": self.recall,
            "macro_f1": self.macro_f1,
            "top5_accuracy": self.top5_accuracy,
            "top_k": {str(k): share for k, share in self.top_k.items()},
            **self.further,
            "log_loss": self.log_loss,
            "brier": self.brier,
            "roc_auc": self.roc_auc,
            "average_precision": self.average_precision,
            "intervals": {name: _bounds(interval) for name, interval in self.intervals.items()},
            "classes": list(self.class_names),
            "per_class": {figures.name: figures.to_dict() for figures in self.per_class},
            "undefined": list(self.undefined),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "roc_curves": [curve.to_dict() for curve in self.roc_curves],
            "pr_curves": [curve.to_dict() for curve in self.pr_curves],
            **calibration,
            **abstaining,
            **sets,
            **decided,
        }

    def summary(self) -> dict[str, Any]:
        """The same without curves."""
        return {name: value for name, value in self.to_dict().items() if name not in ("roc_curves", "pr_curves")}


def measure(records: Sequence[ClassRecord], task: TaskManifest, options: MeasureOptions) -> ClassificationMetrics:
    """Of records with truth, calibration included. Where the images fitted the temperature, that is cross-fitted.

    Raises as `classification_metrics` does.
    """
    if not records:
        raise PocketVisionError(_UNMEASURED.format(found="no images"))
    answers = stacked(records)
    logits, probabilities, labels = answers.logits, answers.probabilities, answers.labels
    metrics = classification_metrics(
        labels, probabilities, task.labels, positive=options.positive, seed=options.seed, answers=answers.answers
    )
    scaling = scaling_of(task.postprocessing)
    found = calibration(logits, probabilities, labels, scaling=scaling, cross_fit=options.fitted, seed=options.seed)
    return replace(
        metrics,
        calibration=found,
        abstaining=abstained(answers, task),
        sets=set_figures(answers, task),
        decided_by=deciding(task),
    )


def check_options(task: TaskManifest, options: MeasureOptions) -> None:
    """Raises UsageError for a positive class that is none."""
    positive_index(task.labels, options.positive)


def kept_accuracy(measured: Mapping[str, Any]) -> Headline | None:
    """Of what a bundle keeps."""
    return kept_headline(measured, HEADLINE)


def classification_metrics(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    class_names: tuple[str, ...],
    *,
    positive: str | None = None,
    seed: int = 0,
    answers: NDArray[np.integer] | None = None,
) -> ClassificationMetrics:
    """Measure `probabilities` (n, classes) against the true `labels` (n,), indices into `class_names`.

    positive: with two classes, the one whose figures stand for the whole (default: the last). seed: the bootstrap's. answers:
    (n,) the classes that were answered; None takes the most probable ones.
    Raises UsageError for an unknown `positive`, PocketVisionError without images or with numbers that are not finite,
    MissingExtraError without scikit-learn.
    """
    try:
        from sklearn.metrics import confusion_matrix
    except ImportError as error:
        raise MissingExtraError("Evaluation", "train") from error
    truth, chances = labels.astype(np.int64), probabilities.astype(np.float64)
    if len(truth) == 0 or not np.isfinite(chances).all():
        found = "probabilities that are not finite numbers" if len(truth) else "no images"
        raise PocketVisionError(_UNMEASURED.format(found=found))
    target = positive_index(class_names, positive)
    said = chances.argmax(axis=1) if answers is None else answers
    confusion = confusion_matrix(truth, said, labels=np.arange(len(class_names))).astype(np.int64)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    average = {name: value[0] for name, value in averages(hits[None], support[None], predicted[None], target).items()}
    top_k = {k: _top_k_accuracy(truth, chances, k) for k in TOP_KS if k < len(class_names)}
    losses = np.stack([log_losses(truth, chances), brier_scores(truth, chances)], axis=1)
    columns = [(truth == index, chances[:, index], name) for index, name in enumerate(class_names)]
    roc = [roc_curve(name, is_class, scores) for is_class, scores, name in columns]
    pr = [precision_recall_curve(name, is_class, scores) for is_class, scores, name in columns]
    return ClassificationMetrics(
        class_names=class_names,
        images=len(truth),
        positive=None if target is None else class_names[target],
        accuracy=float(hits.sum() / len(truth)),
        balanced_accuracy=float(average["balanced_accuracy"]),
        precision=_defined(average["precision"]),
        recall=_defined(average["recall"]),
        f1=_defined(average["f1"]),
        macro_f1=float(average["macro_f1"]),
        top5_accuracy=top_k.get(TOP_K),
        log_loss=float(losses[:, 0].mean()),
        brier=float(losses[:, 1].mean()),
        top_k=top_k,
        further={name: _defined(average[name]) for name in FURTHER},
        roc_auc=_mean_area(_shown(roc, target)),
        average_precision=_mean_area(_shown(pr, target)),
        intervals=_intervals(truth, chances, confusion, losses, target, seed),
        per_class=_per_class(class_names, confusion, roc, pr),
        confusion_matrix=confusion,
        roc_curves=_shown(roc, target)[:MAX_CURVES],
        pr_curves=_shown(pr, target)[:MAX_CURVES],
    )


def positive_index(class_names: tuple[str, ...], positive: str | None) -> int | None:
    """The index of the positive class: `positive` by name, or the last of two; None with more than two classes.

    Raises UsageError when `positive` is no class, or when there are more than two classes for it to stand for.
    """
    if positive is not None and positive not in class_names:
        raise unknown_name("positive class", positive, class_names)
    if len(class_names) != 2:
        if positive is not None:
            raise UsageError(f"A positive class ({positive!r}) is for two classes; the model has {len(class_names)}.")
        return None
    return 1 if positive is None else class_names.index(positive)


def _per_class(
    class_names: tuple[str, ...], confusion: Counts, roc: list[Curve | None], pr: list[Curve | None]
) -> tuple[ClassFigures, ...]:
    figures: list[ClassFigures] = []
    for index, name in enumerate(class_names):
        hits, support = int(confusion[index, index]), int(confusion[index].sum())
        predicted = int(confusion[:, index].sum())
        area, average_precision = roc[index], pr[index]
        figures.append(
            ClassFigures(
                name=name,
                support=support,
                predicted=predicted,
                precision=hits / max(predicted, 1) if support else None,
                recall=hits / support if support else None,
                f1=2 * hits / (support + predicted) if support else None,
                recall_interval=wilson(hits, support),
                roc_auc=None if area is None else area.area,
                average_precision=None if average_precision is None else average_precision.area,
            )
        )
    return tuple(figures)


def _intervals(
    truth: NDArray[np.int64],
    chances: NDArray[np.float64],
    confusion: Counts,
    losses: NDArray[np.float64],
    target: int | None,
    seed: int,
) -> dict[str, Interval | None]:
    """Wilson's interval for shares of images, the bootstrap's for everything else."""
    hits, support = np.diag(confusion), confusion.sum(axis=1)
    intervals = bootstrap_confusion(confusion, partial(averages, target=target), seed=seed)
    intervals["accuracy"] = wilson(int(hits.sum()), len(truth))
    if target is not None:
        intervals["recall"] = wilson(int(hits[target]), int(support[target]))
        intervals["precision"] = wilson(int(hits[target]), int(confusion[:, target].sum()))
    columns = [target] if target is not None else np.flatnonzero((support > 0) & (support < len(truth))).tolist()
    if columns and 0 < support[columns[0]] < len(truth):
        intervals |= bootstrap_areas(truth, chances, columns, seed=seed)
    intervals |= dict(zip(("log_loss", "brier"), bootstrap_means(losses, seed=seed), strict=True))
    return intervals


def _shown(curves: list[Curve | None], target: int | None) -> tuple[Curve, ...]:
    """The positive class's curve, or every class's that has one, smallest area first."""
    chosen = curves if target is None else [curves[target]]
    return tuple(sorted((curve for curve in chosen if curve is not None), key=lambda curve: curve.area))


def _top_k_accuracy(truth: NDArray[np.int64], chances: NDArray[np.float64], k: int) -> float:
    """How often the true class is among the k most probable; the first of equal ones goes first, as in argmax."""
    order = np.argsort(-chances, axis=1, kind="stable")[:, :k]
    return float((order == truth[:, None]).any(axis=1).mean())


def _mean_area(curves: tuple[Curve, ...]) -> float | None:
    return float(np.mean([curve.area for curve in curves])) if curves else None


def _defined(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
