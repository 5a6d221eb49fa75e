"""The losses of tags and numbers, by their formulas."""

import math

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.learners import learner_named
from pocketvision.training.mixing import Mix
from pocketvision.training.number.learner import NumberLearner
from pocketvision.training.tags.learner import MARGIN, NEGATIVE_FOCUS, TagLearner, asymmetric, focal

TAGS = TagLabels.of([[0, 1], [0], [0], []], ("often", "rare"))
CLASSES = ClassLabels(np.array([0, 0, 0, 1], np.int32), ("often", "rare"))
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


@pytest.mark.parametrize(
    ("kind", "truth", "near"),
    [("tags", TAGS, "asymmetric"), ("number", NUMBERS, "squared"), ("classification", CLASSES, "focal")],
)
def test_an_unknown_loss_is_refused_with_what_is_near(kind: str, truth: object, near: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean {near}"):
        learner_named(kind).make(LearnerOptions(loss=near[:-1]), truth)
    if kind == "number":
        with pytest.raises(UsageError, match="--class-weights weigh classes, and a number has none"):
            learner_named(kind).make(LearnerOptions(class_weights="balanced"), truth)


def class_loss(name: str, logits: list[list[float]], labels: list[int], **options: float) -> float:
    weights = {"often": 1.0, "rare": options["rare"]} if "rare" in options else "none"
    smoothing = options.get("smoothing", 0.0)
    learner = learner_named("classification").make(LearnerOptions(smoothing, weights, name), CLASSES)
    (loss,) = learner.loss({"logits": torch.tensor(logits)}, torch.tensor(labels)).values()
    return loss.item()


def test_the_losses_of_classes_by_hand() -> None:
    """Of two logits 0 and 2: the surer class has p = 0.8808."""
    p = 1 / (1 + math.exp(-2))
    both = [[0.0, 2.0], [0.0, 2.0]]
    right, wrong = -math.log(p), -math.log(1 - p)
    assert class_loss("", both, [1, 0]) == pytest.approx((right + wrong) / 2)
    assert class_loss("cross_entropy", both, [1, 0], rare=3.0) == pytest.approx((3 * right + wrong) / 4)
    focal = [(1 - p) ** 2 * right, p**2 * wrong]
    assert class_loss("focal", both, [1, 0]) == pytest.approx(sum(focal) / 2)
    assert class_loss("focal", both, [1, 0], rare=3.0) == pytest.approx((3 * focal[0] + focal[1]) / 4)
    yes, no = math.log(1 + math.exp(-2)), math.log(2)
    assert class_loss("binary", both[:1], [1]) == pytest.approx(yes + no)
    assert class_loss("binary", both[:1], [1], rare=3.0) == pytest.approx(3 * yes + no)
    smoothed = 0.95 * yes + 0.05 * math.log(1 + math.exp(2)) + no
    assert class_loss("binary", both[:1], [1], smoothing=0.1) == pytest.approx(smoothed)


def test_mixed_labels_are_shared_by_every_loss() -> None:
    for name in ("cross_entropy", "focal", "binary"):
        learner = learner_named("classification").make(LearnerOptions(loss=name), CLASSES)
        outputs = {"logits": torch.tensor([[0.3, 1.0], [2.0, -1.0]])}
        mixed = learner.mixed(torch.tensor([0, 1]), Mix(torch.tensor([1, 0]), 0.7))
        own, partners = (learner.loss(outputs, torch.tensor(each))[name] for each in ([0, 1], [1, 0]))
        assert learner.loss(outputs, mixed)[name].item() == pytest.approx((0.7 * own + 0.3 * partners).item())


def test_the_focal_loss_of_tags_by_hand() -> None:
    share = 1 / (1 + math.exp(-1.0))
    assert focal(torch.tensor([[1.0]]), torch.ones(1, 1), None).item() == pytest.approx(
        -((1 - share) ** 2) * math.log(share)
    )
    weighed = focal(torch.tensor([[1.0]]), torch.ones(1, 1), torch.tensor([3.0])).item()
    assert weighed == pytest.approx(-3 * (1 - share) ** 2 * math.log(share))
