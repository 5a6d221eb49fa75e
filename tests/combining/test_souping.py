"""Averages of weights, tried greedily, on networks of a few numbers."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from pocketvision.combining.souping import average, greedy_soup, renew_statistics


class Line(nn.Module):
    """In the place of a network: one weight and a norm."""

    weight: Tensor

    def __init__(self, weight: float, mean: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([weight]))
        self.norm = nn.BatchNorm1d(1, affine=False)
        self.norm.running_mean = torch.tensor([mean])
        self.eval()

    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = self.norm(self.weight * values)
        return found


def none() -> Iterable[Tensor]:
    raise AssertionError("no statistics differ")


def test_networks_are_tried_from_the_best_on_and_stay_where_the_loss_does_not_rise() -> None:
    """The best weight is 1. Alone the losses are 0.2, 0.5, 0.4: 0.8 first; with 1.4 the mean is 1.1, better; with 0.5 it is 0.9,
    as good as before: in."""
    lines = [Line(0.8), Line(0.5), Line(1.4)]
    soup = greedy_soup(lines, lambda line: round(abs(float(line.weight) - 1), 4), none)  # type: ignore[arg-type]
    assert [(each.place, each.alone, each.together, each.added) for each in soup.tastes] == [
        (0, 0.2, 0.2, True),
        (2, 0.4, 0.1, True),
        (1, 0.5, 0.1, True),
    ]
    assert float(soup.network.weight) == pytest.approx(0.9)  # type: ignore[arg-type]
    assert [float(line.weight) for line in lines] == pytest.approx([0.8, 0.5, 1.4])


def test_one_that_spoils_the_soup_stays_out() -> None:
    lines = [Line(1.0), Line(5.0)]
    soup = greedy_soup(lines, lambda line: abs(float(line.weight) - 1), none)  # type: ignore[arg-type]
    assert soup.chosen == [0] and soup.network is lines[0]  # type: ignore[comparison-overlap]


def test_statistics_that_differ_are_those_of_the_averaged_network() -> None:
    """Of the averaged weight 2 on the values 1, 2 and 3: mean 4, variance 4 (unbiased, of each batch, averaged)."""
    images = torch.tensor([[1.0], [2.0], [3.0]])
    mean = average([Line(1.0, mean=7.0), Line(3.0)], lambda: [images, images])  # type: ignore[list-item]
    norm = mean.norm
    assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None and norm.running_var is not None
    assert (norm.running_mean.item(), norm.running_var.item(), norm.momentum) == (4.0, 4.0, 0.1)
    assert not mean.training and not norm.training
    same = Line(2.0)
    renew_statistics(same, [images, images])  # type: ignore[arg-type]
    torch.testing.assert_close(same.norm.running_mean, norm.running_mean)
