"""How far boxes lie apart and how wrong scores are, worked by hand; and torchvision's code on drawn boxes."""

import math

import pytest
import torch
from torchvision.ops import box_iou, distance_box_iou_loss, generalized_box_iou_loss

from pocketvision.training.detection.losses import diou_losses, giou_losses, pairwise_ious, score_losses

UNIT = torch.tensor([[0.0, 0, 2, 2]])


def test_boxes_that_are_one_lose_nothing() -> None:
    assert giou_losses(UNIT, UNIT).item() == diou_losses(UNIT, UNIT).item() == 0


def test_boxes_side_by_side() -> None:
    """Two of 2 x 2 with a gap of 2: the smallest box around both has 12, of which neither covers 4; centres 4 apart, a diagonal
    of sqrt(40)."""
    other = torch.tensor([[4.0, 0, 6, 2]])
    assert giou_losses(UNIT, other).item() == pytest.approx(1 + 4 / 12)
    assert diou_losses(UNIT, other).item() == pytest.approx(1 + 16 / 40)


def test_half_of_a_box() -> None:
    other = torch.tensor([[0.0, 0, 1, 2]])
    assert giou_losses(UNIT, other).item() == pytest.approx(0.5)
    assert diou_losses(UNIT, other).item() == pytest.approx(0.5 + 0.25 / 8)


def drawn(count: int) -> torch.Tensor:
    corner = torch.rand(count, 2) * 50
    return torch.cat([corner, corner + torch.rand(count, 2) * 30 + 0.1], dim=1)


def test_torchvision_says_the_same() -> None:
    torch.manual_seed(0)
    one, other = drawn(200), drawn(200)
    torch.testing.assert_close(giou_losses(one, other), generalized_box_iou_loss(one, other))
    torch.testing.assert_close(diou_losses(one, other), distance_box_iou_loss(one, other))
    torch.testing.assert_close(pairwise_ious(one, other), box_iou(one, other))


def test_background_counts_less_below_a_score() -> None:
    """At a score of 0.05 half of -ln 0.95; at 0.5 all of ln 2, as where something is asked for."""
    logits = torch.logit(torch.tensor([0.05, 0.5, 0.05]))
    found = score_losses(logits, torch.tensor([0.0, 0.0, 1.0]))
    assert found.tolist() == pytest.approx([-math.log(0.95) / 2, math.log(2), -math.log(0.05)], rel=1e-5)


def test_gradients_lead_scores_to_the_quality() -> None:
    logits = torch.zeros(2, requires_grad=True)
    score_losses(logits, torch.tensor([0.9, 0.1])).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad[0] < 0 < logits.grad[1]
