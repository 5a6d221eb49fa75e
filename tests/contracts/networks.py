"""Networks with numbers that tell them apart, and what "equal" means: shared by the contract tests."""

import torch
from torch import Tensor, nn


def randomised(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.5)
            if isinstance(module, nn.Linear):
                module.weight.normal_(0, 0.1)
    return network.eval()


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """Equal to within 1e-4 of the expected numbers' standard deviation, which must not be near zero."""
    assert expected.std() >= 0.1
    assert (found - expected).abs().max() <= 1e-4 * expected.std()


def calibrated(network: nn.Module, images: Tensor) -> nn.Module:
    """The network in eval mode with the norm statistics of these images: random ones make the activations of a deep network grow
    from stage to stage, until rounding is all that is left to compare."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.eval()  # no dropout, no stochastic depth
    for norm in norms:
        norm.train()
    with torch.no_grad():
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()
