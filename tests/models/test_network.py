"""The network class beyond what every row promises (tests/contracts/test_architectures.py)."""

import pytest
import torch
from torch import nn

from pocketvision.errors import UsageError
from pocketvision.models.catalog import build
from pocketvision.models.heads.head import HeadSpec


def test_a_cut_out_of_range_names_the_range() -> None:
    network = build("mobilenet_v2", num_classes=2)
    with pytest.raises(UsageError, match=r"mobilenet_v2 has no cut 8. Expected 0 to 7"):
        network.trunk(torch.zeros(1, 3, 32, 32), 8)
    with pytest.raises(UsageError, match="no cut -1"):
        network.tail(torch.zeros(1, 320, 1, 1), -1)


def test_dropout_and_classes_are_as_asked() -> None:
    network = build("efficientnet_lite2", num_classes=5, dropout=0.4)
    head = network.heads["classification"]
    assert (head.dropout.p, head.linear.out_features, network.num_classes) == (0.4, 5, 5)
    assert build("efficientnet_lite2").heads["classification"].dropout.p == 0.3
    with pytest.raises(UsageError, match="at least 1 class"):
        build("efficientnet_lite2", num_classes=0)


def test_resetting_the_classifier_leaves_the_backbone() -> None:
    network = build("efficientnet_lite0", dropout=0.1).eval()
    backbone = {key: value.clone() for key, value in network.state_dict().items() if not key.startswith("heads.")}
    network.set_heads({"classification": HeadSpec("linear", 3, 0.1)})
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 3) and network.heads["classification"].dropout.p == 0.1
    network.set_heads({"classification": HeadSpec("linear", 2, 0.3)})
    assert network.num_classes == 2 and network.heads["classification"].dropout.p == 0.3
    assert all(torch.equal(network.state_dict()[key], value) for key, value in backbone.items())
    weight = network.heads["classification"].linear.weight
    assert not torch.equal(weight, torch.zeros_like(weight))


def test_a_random_start_keeps_activations_from_vanishing_through_the_depth() -> None:
    """Batch norms in training mode, as a training from scratch begins: features neither vanish nor explode."""
    torch.manual_seed(0)
    network = build("efficientnet_b0").train()
    features = network.tail(network.trunk(torch.randn(8, 3, 64, 64), 0), 0)
    assert 0.05 < features.std() < 5
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all(weight.std() > 0 for weight in weights)


def test_building_is_reproducible_from_the_random_state() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build("mobilenet_v2", num_classes=2).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
