import json
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as reference

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.metrics import MAX_CURVES, classification_metrics

ABC = ("a", "b", "c")


def answers(classes: int, images: int = 300, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels of all classes, and probabilities that are right more often than not."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    logits = generator.normal(size=(images, classes))
    logits[np.arange(images), labels] += 1.5
    return labels, softmax(logits)


def test_figures_of_many_classes_are_scikit_learns() -> None:
    labels, probabilities = answers(7)
    names = tuple("abcdefg")
    found = classification_metrics(labels, probabilities, names)
    guesses = probabilities.argmax(axis=1)
    precision, recall, f1, support = reference.precision_recall_fscore_support(labels, guesses)
    assert [row.precision for row in found.per_class] == pytest.approx(precision)
    assert [row.recall for row in found.per_class] == pytest.approx(recall)
    assert [row.f1 for row in found.per_class] == pytest.approx(f1)
    assert [row.support for row in found.per_class] == support.tolist()
    assert found.accuracy == pytest.approx(reference.accuracy_score(labels, guesses))
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, guesses))
    assert found.f1 == found.macro_f1 == pytest.approx(reference.f1_score(labels, guesses, average="macro"))
    normalised = probabilities.astype(float) / probabilities.astype(float).sum(axis=1, keepdims=True)
    assert found.log_loss == pytest.approx(reference.log_loss(labels, normalised), abs=1e-5)
    assert found.top5_accuracy == pytest.approx(reference.top_k_accuracy_score(labels, probabilities, k=5))
    assert found.roc_auc == pytest.approx(reference.roc_auc_score(labels, probabilities, multi_class="ovr"), abs=1e-6)
    assert found.positive is None
    told = found.to_dict()
    for average in ("macro", "weighted"):
        expected = reference.precision_recall_fscore_support(labels, guesses, average=average)[:3]
        assert [told[f"{average}_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(expected)
    assert told["matthews"] == pytest.approx(reference.matthews_corrcoef(labels, guesses))
    assert told["cohen_kappa"] == pytest.approx(reference.cohen_kappa_score(labels, guesses))
    assert told["brier"] == pytest.approx(reference.brier_score_loss(labels, normalised), abs=1e-6)
    assert found.top_k == {
        k: pytest.approx(reference.top_k_accuracy_score(labels, probabilities, k=k)) for k in (2, 3, 5)
    }
    for name in ("matthews", "cohen_kappa", "brier", "log_loss", "average_precision", "weighted_f1"):
        interval = found.intervals[name]
        assert interval is not None and interval.low < told[name] < interval.high, name


def test_two_classes_are_measured_by_the_positive_one() -> None:
    labels, probabilities = answers(2)
    guesses = probabilities.argmax(axis=1)
    last = classification_metrics(labels, probabilities, ("no", "yes"))
    first = classification_metrics(labels, probabilities, ("no", "yes"), positive="no")
    assert (last.positive, first.positive) == ("yes", "no")
    assert last.f1 == pytest.approx(reference.f1_score(labels, guesses, pos_label=1))
    assert first.f1 == pytest.approx(reference.f1_score(labels, guesses, pos_label=0))
    assert first.recall == pytest.approx(reference.recall_score(labels, guesses, pos_label=0))
    assert last.roc_auc == pytest.approx(reference.roc_auc_score(labels, probabilities[:, 1]))
    assert last.average_precision == pytest.approx(reference.average_precision_score(labels, probabilities[:, 1]))
    assert [curve.name for curve in first.roc_curves] == ["no"]
    assert last.top5_accuracy is None and last.top_k == {}
    assert last.brier == pytest.approx(reference.brier_score_loss(labels, probabilities[:, 1]), abs=1e-6)
    assert first.further == last.further
    assert last.further["matthews"] == pytest.approx(reference.matthews_corrcoef(labels, guesses))


def test_an_absent_class_shifts_no_other_and_has_no_figures() -> None:
    labels, probabilities = answers(3)
    kept = labels != 1
    found = classification_metrics(labels[kept], probabilities[kept], ABC)
    absent = found.per_class[1]
    assert absent.support == 0 and absent.predicted > 0
    assert (absent.precision, absent.recall, absent.f1, absent.roc_auc) == (None, None, None, None)
    assert found.undefined == ("b",) == tuple(found.to_dict()["undefined"])
    assert found.confusion_matrix.shape == (3, 3) and found.confusion_matrix[1].sum() == 0
    others = [row.recall for row in (found.per_class[0], found.per_class[2])]
    assert found.balanced_accuracy == pytest.approx(np.mean([recall for recall in others if recall is not None]))
    assert [curve.name for curve in sorted(found.roc_curves, key=lambda curve: curve.name)] == ["a", "c"]
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("labels", [[0], [1], [0, 0, 0], [1, 1]])
def test_one_class_or_one_image_is_enough(labels: list[int]) -> None:
    probabilities = np.tile(np.array([[0.8, 0.2]], np.float32), (len(labels), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = classification_metrics(np.array(labels), probabilities, ("a", "b"))
    assert found.roc_auc is None and found.roc_curves == ()
    assert found.further["matthews"] is None  # scikit-learn says 0
    assert found.f1 == (0.0 if labels[0] == 1 else None)
    assert "NaN" not in json.dumps(found.to_dict())


def test_a_class_that_is_never_answered_has_a_precision_of_zero() -> None:
    found = classification_metrics(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]]), ("a", "b"))
    assert (found.per_class[1].precision, found.per_class[1].f1) == (0.0, 0.0)


def test_intervals_hold_the_figure_and_repeat() -> None:
    labels, probabilities = answers(3)
    found = classification_metrics(labels, probabilities, ABC, seed=4)
    again = classification_metrics(labels, probabilities, ABC, seed=4)
    assert found.intervals == again.intervals
    for name, interval in found.intervals.items():
        assert interval is not None
        assert interval.low < found.to_dict()[name] < interval.high, name
    perfect = classification_metrics(labels, np.eye(3)[labels], ABC)
    assert perfect.intervals["f1"] is None
    accuracy = perfect.intervals["accuracy"]
    assert accuracy is not None and accuracy.low < 0.99 and accuracy.high == pytest.approx(1)


def test_only_the_weakest_of_many_curves_are_kept() -> None:
    labels, probabilities = answers(30)
    found = classification_metrics(labels, probabilities, tuple(map(str, range(30))))
    areas = [curve.area for curve in found.roc_curves]
    assert len(areas) == MAX_CURVES and areas == sorted(areas)
    everyone = [row.roc_auc for row in found.per_class if row.roc_auc is not None]
    assert found.roc_auc == pytest.approx(np.mean(everyone)) and areas[0] == min(everyone)


def test_what_can_not_be_measured_is_said() -> None:
    labels, probabilities = answers(3)
    with pytest.raises(UsageError, match="'d'"):
        classification_metrics(labels, probabilities, ABC, positive="d")
    with pytest.raises(UsageError, match="two classes"):
        classification_metrics(labels, probabilities, ABC, positive="a")
    with pytest.raises(PocketVisionError, match="no images"):
        classification_metrics(labels[:0], probabilities[:0], ABC)
    probabilities[3, 1] = np.nan
    with pytest.raises(PocketVisionError, match="not finite"):
        classification_metrics(labels, probabilities, ABC)
