"""Softmax and labels."""

import numpy as np
import pytest

from pocketvision.tasks.classification.decode import classify, softmax
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Detail


def test_softmax_with_temperature() -> None:
    logits = np.array([[0.0, 2.0, -1.0], [1000.0, 0.0, 999.0]], dtype=np.float32)
    found = softmax(logits, 2.0)
    assert found.dtype == np.float32
    assert found.sum(axis=1) == pytest.approx([1, 1])
    assert found[0] == pytest.approx(np.exp([0, 1, -0.5]) / np.exp([0, 1, -0.5]).sum())
    assert found[1] == pytest.approx([1 / (1 + np.exp(-0.5)), 0, 1 - 1 / (1 + np.exp(-0.5))], abs=1e-6)


def test_classify_names_each_row() -> None:
    manifest = TaskManifest("classification", ("cat", "dog"), {"probabilities": "probabilities"})
    outputs = {"probabilities": np.array([[0.2, 0.8], [0.9, 0.1]], dtype=np.float32)}
    answers = classify(outputs, (), manifest, Detail())
    assert [answer.label for answer in answers] == ["dog", "cat"]
    assert classify({"probabilities": np.zeros((0, 2), dtype=np.float32)}, (), manifest, Detail()) == []
