"""Updates against figures worked by hand: parts equal to the whole batch, the sharp step, clipping by units."""

from collections.abc import Mapping

import pytest
import torch
from timm.utils import adaptive_clip_grad
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.frozen_statistics import frozen_statistics
from pocketvision.training.optimizer import clip_gradients
from pocketvision.training.settings import OptimizerSettings
from pocketvision.training.update import ByTask, Updated, update

WEIGHTS = torch.tensor([3.0, 0.1, 1.0])
SGD = OptimizerSettings("sgd", weight_decay=0.0, momentum=0.0)


class Model(nn.Module):
    """Two layers with dropout, as heads put it out."""

    def __init__(self, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(8, 3)
        self.shown: list[int] = []

    def forward(self, inputs: Mapping[str, Tensor]) -> ByTask:
        self.shown.append(len(inputs["x"]))
        found = self.dropout(self.norm(self.first(inputs["x"])).tanh())
        return {"one": {"logits": self.second(found), "constant": torch.ones(len(found), 2)}}


def stepped(
    model: Model, rows: int, settings: OptimizerSettings, weights: Tensor | None = WEIGHTS, lr: float = 0.5
) -> Updated:
    random = torch.Generator().manual_seed(1)
    inputs = {"x": torch.randn(rows, 4, generator=random)}
    labels = torch.randint(3, (rows,), generator=random)
    trained = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    torch.manual_seed(7)
    return update(
        model,
        inputs,
        lambda outputs: F.cross_entropy(outputs["one"]["logits"], labels, weight=weights),
        trained,
        optimizer,
        settings,
    )


def values(model: nn.Module) -> Tensor:
    return torch.cat([each.detach().flatten() for each in model.parameters()])


@pytest.mark.parametrize(("rows", "shown"), [(12, [3, 3, 3, 3]), (10, [3, 3, 2, 2]), (5, [3, 2]), (1, [1])])
def test_parts_are_equal_to_the_whole_batch(rows: int, shown: list[int]) -> None:
    """Of a loss that is no mean over rows (weighted classes), and of a last batch with fewer rows than parts ask for."""
    whole, parts = Model(), Model()
    expected, found = stepped(whole, rows, SGD), stepped(parts, rows, OptimizerSettings(accumulate=4))
    assert parts.shown[: len(shown)] == shown
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert torch.allclose(found.outputs["one"]["logits"], expected.outputs["one"]["logits"], atol=1e-6)
    assert torch.allclose(values(parts), values(whole), atol=1e-6)
    assert not torch.allclose(values(parts), values(Model()), atol=1e-3)


def test_parts_draw_the_same_in_both_passes() -> None:
    """Else the gradients would be of another dropout than what was put out: then a step of a tiny rate lowers another loss."""
    lr = 1e-3
    model, again = Model(dropout=0.5), Model(dropout=0.5)
    first = stepped(model, 8, OptimizerSettings(accumulate=2), lr=lr)
    moved = float((values(model) - values(again)).square().sum()) / lr
    second = stepped(model, 8, OptimizerSettings(accumulate=2), lr=lr)
    assert first.loss - second.loss == pytest.approx(moved, rel=0.02)
    assert stepped(again, 8, OptimizerSettings(accumulate=2), lr=lr).loss == first.loss


def test_a_sharp_step_takes_the_gradient_of_the_worst_weights_within_its_radius() -> None:
    """By hand, of w^2: at w = 3 the gradient is 6; the worst within 0.5 is 3.5, its gradient 7, and the step starts at 3."""
    weight = torch.tensor([3.0, 0.0], requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)

    class Square(nn.Module):
        def forward(self, inputs: Mapping[str, Tensor]) -> ByTask:
            return {"one": {"w": weight.expand(len(inputs["x"]), 2)}}

    found = update(
        Square(),
        {"x": torch.zeros(1, 1)},
        lambda outputs: outputs["one"]["w"].square().sum(),
        {"w": weight},
        optimizer,
        OptimizerSettings(sam=0.5),
    )
    assert found.loss == 9
    assert weight.tolist() == pytest.approx([3 - 0.1 * 7, 0.0])


def test_sharp_steps_in_parts_are_those_of_the_whole_batch_and_norms_remember_a_batch_once() -> None:
    whole, parts = Model(), Model()
    stepped(whole, 12, OptimizerSettings(sam=0.3))
    stepped(parts, 12, OptimizerSettings(sam=0.3, accumulate=3))
    assert torch.allclose(values(parts), values(whole), atol=1e-6)
    plain = Model()
    stepped(plain, 12, SGD)
    assert not torch.allclose(values(plain), values(whole), atol=1e-3)
    remembered = []
    for settings in (SGD, OptimizerSettings(sam=0.3)):
        model = Model(norm=True)
        stepped(model, 12, settings)
        assert isinstance(model.norm, nn.BatchNorm1d)
        assert model.norm.momentum == 0.1 and model.norm.running_mean is not None
        remembered.append(model.norm.running_mean)
    assert torch.equal(*remembered)
    with frozen_statistics(model):
        model({"x": torch.ones(4, 4)})
    assert torch.equal(remembered[1], model.norm.running_mean)


@pytest.mark.parametrize("settings", [SGD, OptimizerSettings(accumulate=2), OptimizerSettings(sam=0.1)])
def test_nothing_changes_where_the_loss_is_no_number(settings: OptimizerSettings) -> None:
    model = Model()
    before = values(model)
    found = stepped(model, 8, settings, weights=WEIGHTS * float("inf"))
    assert not found.is_finite and torch.equal(values(model), before)


def test_gradients_are_clipped_by_units_to_a_share_of_their_weights() -> None:
    """By hand: row norms of the weights are 5 and 0 (taken as 0.001), of the gradients 10 and 1; the head's stay."""
    weight, head = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.ones(1, 2)
    for each in (weight, head):
        each.requires_grad_(True).grad = torch.tensor([[6.0, 8.0], [0.0, 1.0]])[: len(each)]
    clip_gradients({"network.stem.w": weight, "network.heads.w": head}, OptimizerSettings(adaptive_clip=0.1))
    assert weight.grad is not None and head.grad is not None
    assert weight.grad.flatten().tolist() == pytest.approx([0.3, 0.4, 0.0, 1e-4], rel=1e-5)
    assert head.grad.flatten().tolist() == [6.0, 8.0]
    kernel = torch.randn(4, 3, 3, 3, requires_grad=True)
    gradient = torch.randn(4, 3, 3, 3)
    kernel.grad = gradient.clone()
    clip_gradients({"network.stem.w": kernel}, OptimizerSettings(adaptive_clip=0.01))
    own, kernel.grad = kernel.grad, gradient.clone()
    adaptive_clip_grad([kernel], 0.01)
    assert torch.equal(own, kernel.grad) and not torch.equal(own, gradient)
