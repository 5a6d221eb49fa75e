"""EfficientDet's loss against worked examples."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.efficientdet_loss import efficientdet_loss, focal_losses

NAMES = ("cat", "dog")


def outputs(images: int = 1) -> dict[str, Tensor]:
    """Four anchors of 10 x 10 in a row, which say nothing of any class by three to one, and no offset."""
    anchors = torch.tensor([[5.0 + 10 * place, 5, 10, 10] for place in range(4)])
    return {
        "anchor_logits": torch.full((images, 4, 2), -math.log(3)),
        "anchor_offsets": torch.zeros(images, 4, 4),
        "anchors": anchors.expand(images, -1, -1),
    }


NO = 0.75 * 0.25**1.5 * math.log(4 / 3)
YES = 0.25 * 0.75**1.5 * math.log(4)
"""What 1/4 costs where no is right, and where yes is."""


def test_the_focal_loss_is_torchvisions() -> None:
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 4
    asked = (torch.arange(150).view(50, 3) % 4 == 0).float()
    torch.testing.assert_close(focal_losses(logits, asked), sigmoid_focal_loss(logits, asked, alpha=0.25, gamma=1.5))
    assert focal_losses(torch.tensor(-math.log(3)), torch.tensor(0.0)).item() == pytest.approx(NO)


def test_the_loss_by_hand() -> None:
    """A dog on the second anchor, half a pixel to the right and e^0.3 times as high: Huber's loss is 0.05^2 / 2 of the one, and
    linear for the other. One anchor answers, and 1 is added to it."""
    high = 10 * math.exp(0.3)
    truth = BoxLabels.of([([[10.5, 5 - high / 2, 20.5, 5 + high / 2]], [1])], NAMES)
    parts = efficientdet_loss(outputs(), [truth])
    assert parts["class"].item() == pytest.approx((7 * NO + YES) / 2)
    assert parts["place"].item() == pytest.approx(50 * (0.05**2 / 2 + 0.1 * (0.3 - 0.05)) / 8, rel=1e-4)


def test_the_right_offsets_cost_nothing() -> None:
    said = outputs()
    said["anchor_offsets"][0, 1] = torch.tensor([0.05, 0, 0, 0.3])
    high = 10 * math.exp(0.3)
    truth = BoxLabels.of([([[10.5, 5 - high / 2, 20.5, 5 + high / 2]], [1])], NAMES)
    assert efficientdet_loss(said, [truth])["place"].item() == pytest.approx(0, abs=1e-9)


def test_a_background_is_to_be_silent() -> None:
    parts = efficientdet_loss(outputs(2), [BoxLabels.of([([], [])], NAMES)] * 2)
    assert parts["place"].item() == 0 and parts["class"].item() == pytest.approx(16 * NO)


def test_nothing_is_asked_of_what_lies_in_a_crowd() -> None:
    columns = {"boxes": np.array([[0.0, 0, 10, 10]]), "classes": np.zeros(1, np.int64), "crowd": np.array([True])}
    parts = efficientdet_loss(outputs(), [BoxLabels.flat(np.array([0, 1]), columns, NAMES)])
    assert parts["class"].item() == pytest.approx(6 * NO)
