"""The loss of SimCLR against a direct computation, against lightly's where it is installed, and at small temperatures."""

import math

import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.training.contrast.nt_xent import CONTRAST, PROJECTED, NtXent, nt_xent
from pocketvision.training.mixing import Mix


def drawn(pairs: int = 4, numbers: int = 6) -> torch.Tensor:
    return torch.randn(2 * pairs, numbers, generator=torch.Generator().manual_seed(0))


def directly(projected: torch.Tensor, temperature: float) -> float:
    """Equation 1, term by term."""
    rows = [row / row.norm() for row in projected.double()]
    total = 0.0
    for i, row in enumerate(rows):
        others = [math.exp(float(row @ other) / temperature) for k, other in enumerate(rows) if k != i]
        own = math.exp(float(row @ rows[i ^ 1]) / temperature)
        total -= math.log(own / sum(others))
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_it_is_equation_1(temperature: float) -> None:
    assert nt_xent(drawn(), temperature).item() == pytest.approx(directly(drawn(), temperature), rel=1e-5)


def test_it_is_lightlys() -> None:
    loss = pytest.importorskip("lightly.loss")
    projected = drawn(8, 16)
    wanted = loss.NTXentLoss(temperature=0.3)(projected[::2], projected[1::2])
    torch.testing.assert_close(nt_xent(projected, 0.3), wanted)


def test_a_small_temperature_does_not_overflow() -> None:
    """exp(1 / 0.001) is infinite; the loss of views that are opposite is 2 / 0.001 and little more."""
    projected = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = nt_xent(projected, 0.001)
    loss.backward()
    assert loss.item() == pytest.approx(2000.0, rel=1e-3)
    assert projected.grad is not None and bool(torch.isfinite(projected.grad).all())


def test_views_whose_nearest_is_their_partner_are_right_and_nothing_is_mixed() -> None:
    projected = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.05]])
    objective = NtXent(0.5)
    assert objective.right({CONTRAST: {PROJECTED: projected}}, None) == (0, 4)
    assert objective.right({CONTRAST: {PROJECTED: projected[[0, 1, 2, 2]]}}, None) == (4, 4)
    assert objective.loss({CONTRAST: {PROJECTED: projected}}, None).item() == nt_xent(projected, 0.5).item()
    with pytest.raises(UsageError, match="not mixed"):
        objective.mixed(None, Mix(torch.arange(4), 0.5))
