"""The losses of tags and numbers, by their formulas."""

import math

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.learners import learner_named
from pocketvision.training.number.learner import NumberLearner
from pocketvision.training.tags.learner import MARGIN, NEGATIVE_FOCUS, TagLearner, asymmetric

TAGS = TagLabels.of([[0, 1], [0], [0], []], ("often", "rare"))
NUMBERS = NumberLabels(np.array([10.0, 20, 30, 40]))


def test_the_asymmetric_loss_leaves_sure_nos_alone() -> None:
    sure_no, unsure_no, yes = -4.0, 1.0, 0.5
    assert asymmetric(torch.tensor([[sure_no]]), torch.zeros(1, 1), None).item() == 0  # within the margin
    share = 1 / (1 + math.exp(-unsure_no)) - MARGIN
    expected = -(share**NEGATIVE_FOCUS) * math.log(1 - share)
    assert asymmetric(torch.tensor([[unsure_no]]), torch.zeros(1, 1), None).item() == pytest.approx(expected, rel=1e-5)
    expected = math.log(1 + math.exp(-yes))
    assert asymmetric(torch.tensor([[yes]]), torch.ones(1, 1), None).item() == pytest.approx(expected, rel=1e-5)
    weighed = asymmetric(torch.tensor([[yes]]), torch.ones(1, 1), torch.tensor([3.0])).item()
    assert weighed == pytest.approx(3 * expected, rel=1e-5)


def test_positive_weights_are_nos_by_yeses() -> None:
    learner = learner_named("tags").make(LearnerOptions(class_weights="balanced"), TAGS)
    assert isinstance(learner, TagLearner) and learner.weights is not None
    assert learner.weights.tolist() == [pytest.approx(1 / 3), pytest.approx(3.0)]
    targets = learner.targets(TAGS, np.arange(4), [])
    (loss,) = learner.loss({"logits": torch.zeros(4, 2)}, targets).values()
    assert loss.item() == pytest.approx(math.log(2) * (3 / 3 + 1 + 1 * 3 + 3) / 8, rel=1e-5)


def test_a_number_far_off_counts_less_in_hubers_loss_than_squared() -> None:
    outputs = {"standardised": torch.tensor([[0.0], [3.0]])}
    found = {}
    for name in ("huber", "squared"):
        learner = learner_named("number").make(LearnerOptions(loss=name), NUMBERS)
        assert isinstance(learner, NumberLearner) and learner.centre == 25
        targets = torch.tensor([25 + 0.5 * learner.spread, 25.0], dtype=torch.float64)
        (found[name],) = learner.loss(outputs, targets).values()
    assert found["huber"].item() == pytest.approx((0.5 * 0.5**2 + (3 - 0.5)) / 2)
    assert found["squared"].item() == pytest.approx((0.5**2 + 3**2) / 2)


@pytest.mark.parametrize(("kind", "truth", "near"), [("tags", TAGS, "asymmetric"), ("number", NUMBERS, "squared")])
def test_an_unknown_loss_is_refused_with_what_is_near(kind: str, truth: object, near: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean {near}"):
        learner_named(kind).make(LearnerOptions(loss=near[:-1]), truth)
    if kind == "number":
        with pytest.raises(UsageError, match="--class-weights weigh classes, and a number has none"):
            learner_named(kind).make(LearnerOptions(class_weights="balanced"), truth)
