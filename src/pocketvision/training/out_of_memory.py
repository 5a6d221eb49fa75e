"""An allocation that failed while a phase learned, told as what can be done about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pocketvision.errors import TrainingError
from pocketvision.training.settings import PhaseSettings

_SAID = ("can't allocate memory", "not enough memory", "out of memory", "Failed to allocate memory", "bad_alloc")
"""By PyTorch on a CPU (Linux, Windows) and on a device, by ONNX Runtime, and by C++."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch, NumPy or ONNX Runtime means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, Exception) and any(text in str(error) for text in _SAID)


@contextmanager
def telling_of_memory(settings: PhaseSettings) -> Iterator[None]:
    """Within the block an allocation that fails is a TrainingError that suggests half the batch."""
    try:
        yield
    except Exception as error:
        if isinstance(error, TrainingError) or not is_out_of_memory(error):
            raise
        half = max(1, settings.batch // 2)
        smaller = f"--batch {half}" if half < settings.batch else "a smaller input (--size)"
        raise TrainingError(
            f"Memory ran out in phase {settings.number}, with batches of {settings.batch}: {error}. Halve the batch: {smaller}."
        ) from error
