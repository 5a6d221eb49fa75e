"""The generators of every library, begun anew at each step: so that a step's draws follow from its place alone, and no state of a
generator has to be kept to go on there."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def left_alone() -> Iterator[None]:
    """Whatever is drawn within the block, the caller's generators (torch's on the CPU, numpy's, Python's) stay as they were."""
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)


def begin_step(seed: int, phase: int, epoch: int, step: int) -> np.random.Generator:
    """A generator of the step's own, and those of torch, numpy and Python begun from it: heads and losses from elsewhere may draw
    from any. phase, epoch, step: from 1. 10 µs."""
    own = np.random.default_rng([seed, phase, epoch, step])  # a step of 0 would be the stream of the epoch's order
    # torch.manual_seed sees to every device: 118 µs a step against 1.
    torch.default_generator.manual_seed(begun := int(own.integers(2**63)))
    random.seed(begun)
    np.random.seed(begun % 2**32)
    return own
