"""Where a network learns: the CPU, or a GPU by PyTorch's documented interface. We have never run it on a GPU.

The network alone lives there. Batches are sent to it, and what it puts out comes back before the loss is taken, which is a small
part of the work: so targets, losses and figures are the same code on every device.
"""

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from pocketvision.errors import UsageError

ByTask = Mapping[str, Mapping[str, Tensor]]


def device_of(name: str) -> str:
    """`name`; for "auto" the GPU that PyTorch has, CUDA's before Apple's, else the CPU. Of several processes each takes the GPU
    of its own number (LOCAL_RANK, as torchrun sets it). Raises UsageError where the device is not there."""
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(each for each, there in has.items() if there)
    if not has[name]:
        known = ", ".join(each for each, there in has.items() if there)
        raise UsageError(
            f"--device is {name}, which PyTorch does not find here (it has: {known}). Take one of these, or a PyTorch that is "
            "built for this GPU (https://pytorch.org/get-started)."
        )
    if name != "cuda":
        return name
    own, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if own >= there:
        raise UsageError(f"Process {own} has no GPU of its own: there are {there}. Start as many processes as GPUs.")
    return f"cuda:{own}"


def sent(inputs: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """A batch on the device; to CUDA from pinned memory, while the CPU goes on."""
    if device.type != "cuda":
        return {name: values.to(device) for name, values in inputs.items()}
    return {
        name: values if values.device == device else values.pin_memory().to(device, non_blocking=True)
        for name, values in inputs.items()
    }


def returned(outputs: ByTask) -> ByTask:
    """What a network puts out, on the CPU; gradients find their way back."""
    return {task: {role: values.cpu() for role, values in roles.items()} for task, roles in outputs.items()}


def has_bfloat16(device: str) -> bool:
    """Whether a GPU multiplies it."""
    return device.startswith("cuda") and torch.cuda.is_bf16_supported()


def begin_gpu_peak(device: torch.device) -> None:
    """Count from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def gpu_memory(device: torch.device) -> float:
    """The most that tensors have held on a CUDA device, on Apple's what the driver holds now, in MB of a million bytes; 0 on the
    CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / 1e6
    return 0.0
