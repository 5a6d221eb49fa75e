"""Norms and the smallest maps: of one picture nothing can be learned there about how numbers vary."""

from torch import Tensor, nn


def applied(module: nn.Module, level: Tensor) -> Tensor:
    """What a module with norms makes of a map (N, channels, h, w).

    Of one picture a norm can not learn from a map of one place, which has no variance: there it is as it ships. Also on maps of
    two by two, which the module may halve.
    """
    if not module.training or level.shape[0] > 1 or max(level.shape[2:]) > 2:
        output: Tensor = module(level)
        return output
    module.eval()
    try:
        alone: Tensor = module(level)
    finally:
        module.train()
    return alone
