"""A second look at the same batch, which norms do not remember."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Within the block norms use the statistics of their batch as ever, and do not remember them."""
    norms = [each for each in model.modules() if isinstance(each, _BatchNorm) and each.training]
    memories = [(each.momentum, each.num_batches_tracked) for each in norms]
    for each in norms:
        each.momentum = 0.0
        each.num_batches_tracked = None if each.num_batches_tracked is None else each.num_batches_tracked.clone()
    try:
        yield
    finally:
        for each, (momentum, batches) in zip(norms, memories, strict=True):
            each.momentum, each.num_batches_tracked = momentum, batches
