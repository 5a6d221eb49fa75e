"""Optimizers against figures worked by hand, and how parameters are grouped."""

import pytest
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.training.optimizer import clip_gradients, make_optimizer, restore_optimizer, set_lr
from pocketvision.training.settings import OPTIMIZERS, OptimizerSettings


def stepped(settings: OptimizerSettings, gradients: list[float], lr: float = 0.1) -> list[float]:
    weight = torch.tensor([[1.0]], requires_grad=True)
    optimizer = make_optimizer({"w": weight}, settings, lr=lr)
    values = []
    for gradient in gradients:
        weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        values.append(weight.item())
    return values


def test_rmsprop_is_tensorflows() -> None:
    """The mean of squares begins at 1, epsilon stands inside the root, the rate goes into the momentum."""
    settings = OptimizerSettings("rmsprop", weight_decay=0.0, momentum=0.9, squares=0.9, eps=1e-3)
    square, momentum, weight, expected = 1.0, 0.0, 1.0, []
    for gradient in (0.5, -2.0, 1.0):
        square = 0.9 * square + 0.1 * gradient**2
        momentum = 0.9 * momentum + 0.1 * gradient / (square + 1e-3) ** 0.5
        weight -= momentum
        expected.append(weight)
    assert stepped(settings, [0.5, -2.0, 1.0]) == pytest.approx(expected, rel=1e-6)


def test_sgd_is_nesterovs() -> None:
    velocity, weight, expected = 0.0, 1.0, []
    for gradient in (0.5, -2.0, 1.0):
        velocity = 0.9 * velocity + gradient
        weight -= 0.1 * (gradient + 0.9 * velocity)
        expected.append(weight)
    settings = OptimizerSettings("sgd", weight_decay=0.0, momentum=0.9)
    assert stepped(settings, [0.5, -2.0, 1.0]) == pytest.approx(expected, rel=1e-6)


def test_adamw_decays_apart_from_the_gradient_and_adam_within_it() -> None:
    for name, expected in (("adamw", 1.0 - 0.1 * 0.5 - 0.1), ("adam", 1.0 - 0.1)):
        assert stepped(OptimizerSettings(name, weight_decay=0.5), [2.0])[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_biases_are_not_decayed_and_a_state_goes_on(name: str) -> None:
    def begun() -> dict[str, Tensor]:
        return {"bias": torch.ones(3, requires_grad=True), "weight": torch.ones(2, 3, requires_grad=True)}

    settings = OptimizerSettings(name, weight_decay=0.5)
    whole, resumed = begun(), begun()
    optimizer, other = (make_optimizer(each, settings, lr=0.1) for each in (whole, resumed))
    for each in whole.values():
        each.grad = torch.zeros_like(each)
    optimizer.step()
    assert whole["bias"].tolist() == [1.0] * 3 and whole["weight"].max() < 1.0
    with torch.no_grad():
        for key, value in whole.items():
            resumed[key].copy_(value)
    restore_optimizer(other, optimizer.state_dict())
    for step in range(3):
        for parameters in (whole, resumed):
            for each in parameters.values():
                each.grad = torch.full_like(each, 0.3 + step)
        optimizer.step()
        other.step()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_lower_stages_have_their_share_of_the_rate() -> None:
    trained = {name: torch.ones(2, 2, requires_grad=True) for name in ("heads", "stage1", "stage0")}
    depth = {"heads": 0, "stage1": 1, "stage0": 2}
    settings = OptimizerSettings("sgd", weight_decay=0.0, momentum=0.0, layer_decay=0.5)
    optimizer = make_optimizer(trained, settings, lr=1.0, depth_of=depth.__getitem__)
    set_lr(optimizer, 0.1)
    for each in trained.values():
        each.grad = torch.ones_like(each)
    optimizer.step()
    assert [1 - each[0, 0].item() for each in trained.values()] == pytest.approx([0.1, 0.05, 0.025], rel=1e-4)


def test_gradients_are_clipped_to_their_norm() -> None:
    weight = torch.zeros(2, requires_grad=True)
    weight.grad = torch.tensor([3.0, 4.0])
    clip_gradients({"w": weight}, OptimizerSettings(clip=None))
    assert weight.grad.tolist() == [3.0, 4.0]
    clip_gradients({"w": weight}, OptimizerSettings(clip=1.0))
    assert weight.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-4)


def test_an_unknown_name_and_one_beta_are_refused() -> None:
    with pytest.raises(UsageError, match=r"optimizer\.betas has 1 numbers; expected two"):
        OptimizerSettings(betas=(0.9,))
    with pytest.raises(UsageError, match="adamw"):
        make_optimizer({"w": torch.ones(2, 2, requires_grad=True)}, OptimizerSettings("adamv"), lr=0.1)


def test_lamb_takes_the_step_that_its_paper_gives() -> None:
    """By hand, You et al. (2020), algorithm 2, of a weight of norm 5 in a first step: Adam's direction is the gradient's sign, so
    the step is the rate times the weights' norm, whatever the gradient's size."""
    weight = torch.tensor([[3.0, 4.0]], requires_grad=True)
    optimizer = make_optimizer({"w": weight}, OptimizerSettings("lamb", weight_decay=1e-9), lr=0.1)
    weight.grad = torch.tensor([[0.3, -0.3]])
    optimizer.step()
    assert (weight.detach() - torch.tensor([[3.0, 4.0]])).norm().item() == pytest.approx(0.5, rel=1e-3)


def test_what_an_optimizer_of_timm_has_no_word_for_is_refused() -> None:
    with pytest.raises(UsageError, match=r"optimizer\.name lars takes no betas; leave optimizer\.betas out"):
        stepped(OptimizerSettings("lars", betas=(0.5, 0.9)), [1.0])
