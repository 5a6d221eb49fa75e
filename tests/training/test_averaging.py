"""The moving average of the weights."""

import torch

from pocketvision.training.averaging import WeightAverage


def test_it_follows_the_weights_and_gives_them_back() -> None:
    trained = {"w": torch.zeros(3, requires_grad=True)}
    average = WeightAverage(trained, steps=20)
    with torch.no_grad():
        trained["w"].fill_(1.0)
    for _ in range(60):
        average.update()
    assert torch.allclose(average.weights["w"], torch.ones(3), atol=1e-2)
    with torch.no_grad():
        trained["w"].fill_(5.0)
    average.update()
    expected = 5 * 0.1 + 0.9 * 1.0  # half an epoch of 20 steps is a decay of 0.9
    assert torch.allclose(average.weights["w"], torch.full((3,), expected), atol=2e-2)
    with average.in_place():
        assert torch.equal(trained["w"].detach(), average.weights["w"])
    assert trained["w"].tolist() == [5.0, 5.0, 5.0]


def test_an_epoch_of_two_steps_is_not_averaged() -> None:
    trained = {"w": torch.zeros(1, requires_grad=True)}
    average = WeightAverage(trained, steps=2)
    with torch.no_grad():
        trained["w"].fill_(7.0)
    average.update()
    assert average.weights["w"].item() == 7.0
