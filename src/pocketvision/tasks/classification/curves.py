"""ROC and precision-recall curves, one class against the rest. scikit-learn is loaded when it is needed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A curve is for the eye: more points than this change nothing visible. Areas are of the whole curve.
_POINTS = 200


@dataclass(frozen=True)
class Curve:
    """One class against the rest. ROC: x false positive rate, y true positive rate. PR: x recall, y precision."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"class": self.name, "x": list(self.x), "y": list(self.y), "area": self.area}


def roc_curve(name: str, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> Curve | None:
    """The ROC curve of the class `name`; None when all images or none are of it.

    is_class: (n,) whether an image is of the class. scores: (n,) its probability of being so.
    """
    from sklearn import metrics

    if is_class.all() or not is_class.any():
        return None
    false_positives, true_positives, _ = metrics.roc_curve(is_class, scores)
    area = float(metrics.auc(false_positives, true_positives))
    return Curve(name, *_thinned(false_positives, true_positives), area)


def precision_recall_curve(name: str, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> Curve | None:
    """The precision-recall curve of the class `name`, recall ascending; None when all images or none are of it.

    Its area is the average precision (the step-wise sum, which does not flatter as the trapezium rule does).
    """
    from sklearn import metrics

    if is_class.all() or not is_class.any():
        return None
    precision, recall, _ = metrics.precision_recall_curve(is_class, scores, drop_intermediate=True)
    area = float(metrics.average_precision_score(is_class, scores))
    return Curve(name, *_thinned(recall[::-1], precision[::-1]), area)


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most _POINTS points, the first and the last among them, rounded to five digits."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).round().astype(int))
    return tuple(x[kept].round(5).tolist()), tuple(y[kept].round(5).tolist())
