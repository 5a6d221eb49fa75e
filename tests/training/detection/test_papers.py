"""Heads with their papers' losses in the detection learner."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.learner import DetectionLearner
from pocketvision.training.detection.ssd_loss import ssd_loss
from pocketvision.training.learned_tasks import constant_answers

NAMES = ("cat", "dog")
TRUTH = BoxLabels.of([([[22, 0, 42, 20]], [1]), ([[0, 0, 20, 20]], [0])], NAMES)
HALVED = Placement((160, 20), np.diag([0.5, 0.5, 1.0]), (80, 10))


def outputs(logit: float = 0.0) -> dict[str, Tensor]:
    """Eight default boxes of 10 x 10 pixels in a row without a gap; the second says `dog` by `logit` more than the rest."""
    defaults = torch.tensor([[5.0 + 10 * place, 5, 10, 10] for place in range(8)]).repeat(2, 1, 1)
    logits = torch.zeros(2, 8, 3)
    logits[:, 1, 2] = logit
    return {"offsets": torch.zeros(2, 8, 4), "class_logits": logits, "default_boxes": defaults}


def test_ssd_learns_in_the_pixels_of_the_input() -> None:
    """Objects are of the pictures, twice as large."""
    learner = DetectionLearner(NAMES)
    targets = learner.targets(TRUTH, np.array([0, 1]), [HALVED] * 2)
    inputs = [BoxLabels.of([([[11, 0, 21, 10]], [1])], NAMES), BoxLabels.of([([[0, 0, 10, 10]], [0])], NAMES)]
    parts, wanted = learner.loss(outputs(), targets), ssd_loss(outputs(), inputs)
    assert {name: part.item() for name, part in parts.items()} == {name: part.item() for name, part in wanted.items()}
    assert parts["place"].item() == pytest.approx(0.5 / 2)  # one is a tenth of a side off, the other not at all


def test_what_is_said_is_measured() -> None:
    learner = DetectionLearner(NAMES)
    targets = learner.targets(TRUTH, np.array([0, 1]), [HALVED] * 2)
    said = outputs(6.0)
    assert learner.right(said, targets) == (2, 2)
    found = learner.record(said, targets)
    validated = learner.validated([found])
    # The dog is found first, at an overlap of 9 / 11; the one cat among eight boxes that say it alike.
    assert 0.5 < validated.figure < 1 and validated.loss > 1 - validated.figure  # AP is below AP50
    shares = torch.softmax(torch.tensor([0.0, 0.0, 6.0]), 0)
    between = (shares[2].item() + 1 / 3) / 2  # what all other boxes say of a dog is a third
    assert learner.calibrate([found])["thresholds"]["dog"] == pytest.approx(between, abs=1e-3)
    assert learner.score_of(said, 1).tolist() == pytest.approx([shares[2].item()] * 2)


def test_options_of_other_heads_are_refused() -> None:
    targets = DetectionLearner(NAMES).targets(TRUTH, np.array([0, 1]), [HALVED] * 2)
    for learner in (DetectionLearner(NAMES, "diou"), DetectionLearner(NAMES, weights=torch.ones(2), weighted=True)):
        with pytest.raises(UsageError, match="without class weights and other losses"):
            learner.loss(outputs(), targets)


def test_what_an_answer_that_never_looks_would_reach_is_said() -> None:
    """The cat is always where it was; the dog, once learned from, is not seen again."""
    truth = BoxLabels.of([([[10, 10, 30, 30]], [0]), ([[50, 10, 90, 30]], [1]), ([[20, 20, 60, 60]], [0])], NAMES)
    sizes = np.array([[100, 100], [100, 100], [200, 200]])
    (text,) = constant_answers({"detection": truth}, sizes, np.array([0, 1]), np.array([2]))
    assert text.endswith("has an AP50 of 1.000 and an AP of 1.000 on the same pictures.")
    (text,) = constant_answers({"detection": truth}, sizes, np.array([0, 2]), np.array([1]))
    assert "an AP50 of 0.000" in text
