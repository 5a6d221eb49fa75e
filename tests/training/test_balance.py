"""Weights of several tasks' losses, by hand on two parameters, and whether their gradients agree."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.training.balance import (
    Balance,
    Fixed,
    GradNorm,
    Uncertainty,
    agreement,
    balance_of,
    fixed_weights,
    gradient,
    weighted_sum,
)
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.number.learner import NumberLearner

TRUTH = {
    "colour": ClassLabels(np.array([0, 1, 1, -1], np.int32), ("a", "b")),
    "age": NumberLabels(np.array([1.0, 2.0, np.nan, 5.0])),
}


def losses(shared: Tensor, *scales: float) -> dict[str, Tensor]:
    """Of tasks one, two …: scale times the sum of squares of the shared weights."""
    names = ("one", "two", "three")
    return {name: scale * (shared**2).sum() for name, scale in zip(names, scales, strict=False)}


def test_fixed_weights_weigh_and_equal_ones_leave_losses_as_they_are() -> None:
    found = losses(torch.tensor([1.0, 2.0]), 1.0, 3.0)
    assert weighted_sum(found, {}).item() == 20
    assert weighted_sum(found, {"one": 2.0, "two": 0.5}).item() == 17.5
    assert Fixed({"two": 2.0}).total(found, ()).item() == 35
    alone = {"one": torch.tensor(0.3)}
    assert weighted_sum(alone, {}) is alone["one"]


def test_by_uncertainty_the_sum_is_exp_minus_s_times_l_plus_s() -> None:
    rule = Uncertainty({"one": 0.5, "two": -1.0})
    total = rule.total({"one": torch.tensor(2.0), "two": torch.tensor(0.25)}, ())
    assert total.item() == pytest.approx(math.exp(-0.5) * 2 + 0.5 + math.exp(1) * 0.25 - 1, rel=1e-6)
    # The slopes are 1 - exp(-s) L; a step of 0.05 goes down them.
    assert rule.numbers["one"] == pytest.approx(0.5 - 0.05 * (1 - math.exp(-0.5) * 2), rel=1e-6)
    assert rule.numbers["two"] == pytest.approx(-1.0 - 0.05 * (1 - math.exp(1) * 0.25), rel=1e-6)


def test_uncertainty_begins_and_ends_where_its_sum_is_least() -> None:
    rule, shared = Uncertainty(), torch.tensor([1.0], requires_grad=True)
    total = rule.total(losses(shared, 8.0, 0.5), ())
    assert total.item() == pytest.approx(2 + math.log(8) + math.log(0.5), rel=1e-6)
    total.backward()
    assert shared.grad is not None and shared.grad.item() == pytest.approx(4.0)  # each loss by itself: 2 x L / L
    for _ in range(200):
        rule.total({"one": torch.tensor(3.0), "two": torch.tensor(1e-9)}, ())
    assert rule.numbers["one"] == pytest.approx(math.log(3), abs=1e-3)
    assert rule.weight("one") == pytest.approx(1 / 3, abs=1e-3)
    assert rule.weight("two") == pytest.approx(math.exp(5.0)), "a loss that is gone does not take all"


def test_grad_norm_takes_one_step_down_its_loss() -> None:
    rule, shared = GradNorm(["one", "two"]), torch.tensor([3.0, 4.0], requires_grad=True)
    first = losses(shared, 1.0, 3.0)
    assert rule.total(first, [shared]).item() == pytest.approx(100)
    # Gradients of 10 and 30, a mean of 20, both at the pace of the mean: one is pulled too little and two too much.
    one, two = 1 + 0.025 * 10 / 30, 1 - 0.025
    assert rule.weight("one") == pytest.approx(2 * one / (one + two))
    assert rule.weight("two") == pytest.approx(2 * two / (one + two))
    assert rule.numbers["one.first"] == 25 and rule.numbers["two.first"] == 75


def test_grad_norm_brings_the_pulls_together_and_helps_the_slow() -> None:
    rule, shared = GradNorm(["one", "two"]), torch.tensor([3.0, 4.0], requires_grad=True)
    for _ in range(200):
        rule.total(losses(shared, 1.0, 3.0), [shared])
    assert rule.weight("one") / rule.weight("two") == pytest.approx(3, rel=0.1)
    assert rule.weight("one") + rule.weight("two") == pytest.approx(2)
    for _ in range(200):  # two has gone to a tenth of where it began, one has not moved
        found = losses(shared, 1.0, 3.0)
        rule.total({"one": found["one"], "two": 0.1 * found["two"]}, [shared])
    pulls = rule.weight("one") * 10, rule.weight("two") * 3
    assert pulls[0] / pulls[1] > 5


def test_grad_norm_leaves_weights_as_they_are_where_nothing_is_shared_or_a_task_is_alone() -> None:
    shared = torch.tensor([3.0], requires_grad=True)
    rule = GradNorm(["one", "two"])
    rule.total(losses(shared, 1.0, 3.0), ())
    rule.total(losses(shared, 1.0), [shared])
    assert rule.numbers == {}


def test_three_weights_keep_their_sum_when_two_are_in_a_batch() -> None:
    rule, shared = GradNorm(["one", "two", "three"]), torch.tensor([3.0], requires_grad=True)
    for scales in ((1.0, 3.0), (1.0, 3.0, 9.0), (5.0, 1.0)):
        rule.total(losses(shared, *scales), [shared])
    assert sum(rule.weight(task) for task in rule.tasks) == pytest.approx(3)


def test_gradients_agree_as_the_angle_between_them_says() -> None:
    shared, other = torch.tensor([1.0, 1.0], requires_grad=True), torch.ones(2, 2, requires_grad=True)
    found = agreement(
        {
            "right": shared[0] + 0 * other.sum(),
            "up": shared[1],
            "both": shared.sum(),
            "left": -2 * shared[0],
            "elsewhere": other.sum(),
        },
        [shared, other],
    )
    assert found["right+up"] == pytest.approx(0)
    assert found["right+both"] == pytest.approx(math.sqrt(0.5))
    assert found["right+left"] == pytest.approx(-1)
    assert found["both+elsewhere"] == pytest.approx(0)
    assert gradient(shared[0], [shared, other]).tolist() == [1, 0, 0, 0, 0, 0]


def test_a_balance_looks_once_an_epoch_at_a_batch_with_all_tasks() -> None:
    shared = torch.tensor([3.0, 4.0], requires_grad=True)
    balance = Balance(["one", "two"], Uncertainty())
    balance.begin([shared], {"one": 0.0, "two": 0.0})
    balance.total(losses(shared, 1.0))
    assert balance.cosines == {}
    balance.total({"one": shared[0] + 0 * shared[1], "two": shared[1] + 0 * shared[0]})
    balance.total(losses(shared, 1.0, 1.0))
    found = balance.epoch_ended()
    assert found["one+two.cosine"] == pytest.approx(0) and set(found) == {"one.weight", "two.weight", "one+two.cosine"}
    assert set(balance.epoch_ended()) == {"one.weight", "two.weight"}
    balance.begin([], {})
    assert balance.rule.numbers == {}


def test_equal_and_fixed_weights_are_in_no_history() -> None:
    balance = balance_of({"colour": 2.0}, TRUTH)
    assert balance is not None and balance.epoch_ended() == {}
    assert balance.total({"colour": torch.tensor(1.5), "age": torch.tensor(1.0)}).item() == 4


def test_a_task_alone_has_no_balance() -> None:
    assert balance_of("uncertainty", {"colour": TRUTH["colour"]}) is None


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("uncertain", "uncertainty"),
        ({"colours": 2.0}, "colour"),
        ({"colour": -1.0}, "expected 0 or more"),
        ({"colour": 0.0, "age": 0.0}, "nothing is learned"),
    ],
)
def test_weights_that_can_not_be(weights: str | dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fixed_weights(weights, TRUTH)


def test_the_objective_weighs_what_a_batch_has_the_truth_of() -> None:
    objective = objective_of(TRUTH, weights="uncertainty")
    assert isinstance(objective.balance, Balance) and isinstance(objective.balance.rule, Uncertainty)
    outputs = {"colour": {"logits": torch.zeros(2, 2)}, "age": {"standardised": torch.zeros(2, 1)}}
    targets = objective.targets(np.array([1, 2]), [None, None])  # type: ignore[list-item]
    total = objective.loss(outputs, targets).item()
    fixed = replace(objective, balance=None).loss(outputs, targets).item()
    age = fixed - math.log(2)
    assert total == pytest.approx(2 + math.log(math.log(2)) + math.log(age), rel=1e-5)
    heavier = objective_of(TRUTH, weights={"age": 3.0}).loss(outputs, targets).item()
    assert heavier == pytest.approx(math.log(2) + 3 * age, rel=1e-5)


def test_patterns_tell_which_truth_an_image_has() -> None:
    assert objective_of(TRUTH).patterns.tolist() == [3, 3, 1, 2]


def test_options_are_of_the_tasks_that_take_them() -> None:
    options = LearnerOptions(label_smoothing=0.25, loss="squared", class_weights={"b": 2.0})
    learners = objective_of(TRUTH, options=options).learners
    colour, age = learners["colour"], learners["age"]
    assert isinstance(colour, ClassLearner) and colour.label_smoothing == 0.25
    assert colour.weights is not None and colour.weights.tolist() == [1, 2]
    assert isinstance(age, NumberLearner) and age.loss_name == "squared"
    for wrong, said in ((LearnerOptions(loss="giou"), "loss"), (LearnerOptions(class_weights={"c": 2.0}), "class")):
        with pytest.raises(UsageError, match=said):
            objective_of(TRUTH, options=wrong)
