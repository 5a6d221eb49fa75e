import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from pocketvision.tasks.tags.further import further, roc_aucs


def test_figures_are_scikit_learns_and_lie_in_their_intervals() -> None:
    generator = np.random.default_rng(0)
    marks = generator.random((200, 4)) < [0.5, 0.2, 0.1, 0.7]
    scores = np.clip(0.35 + 0.3 * marks + generator.normal(0, 0.2, marks.shape), 0.01, 0.99).round(2)  # with equal ones
    said = scores >= 0.5
    found = further(scores, said, marks, seed=0)
    expected = {
        "precision_micro": reference.precision_score(marks, said, average="micro"),
        "recall_micro": reference.recall_score(marks, said, average="micro"),
        "f1_weighted": reference.f1_score(marks, said, average="weighted"),
        "hamming": reference.hamming_loss(marks, said),
        "roc_auc": reference.roc_auc_score(marks, scores, average="macro"),
        "brier": np.mean([reference.brier_score_loss(marks[:, tag], scores[:, tag]) for tag in range(4)]),
        "log_loss": np.mean([reference.log_loss(marks[:, tag], scores[:, tag]) for tag in range(4)]),
    }
    assert found.values == pytest.approx(expected)
    for name in set(expected) - {"roc_auc"}:
        interval = found.intervals[name]
        assert interval is not None and interval.low < expected[name] < interval.high, name


def test_a_tag_that_no_image_has_is_undefined() -> None:
    marks = np.array([[True, False], [False, False]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = further(np.array([[0.9, 0.2], [0.1, 0.1]]), marks, marks, seed=0)
    assert found.roc_aucs[0] == 1 and np.isnan(found.roc_aucs[1])
    assert found.values["roc_auc"] == 1 and found.values["f1_weighted"] == 1
    assert np.isnan(roc_aucs(np.ones((2, 1)), np.ones((2, 1), bool))).all()
