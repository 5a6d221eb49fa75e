"""The number format that the unfrozen layers are trained in; weights, optimizer and validation are float32 in all of them.

bfloat16 halves the time of the 1x1 convolutions where the CPU multiplies it in hardware, and slows everything down where it
does not: EfficientNet-Lite0's last three stages learn from 136 images a second with it, from 91 in float32 (batch 32, 2 cores).
In `onednn_bfloat16` all is kept in float32 and oneDNN alone multiplies in bfloat16: half-way between both in rounding, and faster
than bfloat16 where much is depthwise, which gains nothing from half the bits. float16 is for GPUs; its losses are scaled
(torch.amp.GradScaler), so that small gradients are not lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pocketvision.errors import unknown_name

ONEDNN = "onednn_bfloat16"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, ONEDNN: torch.float32, "float16": torch.float16}
"""By name, what activations are kept in."""
SCALED = "float16"
_BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def resolve_precision(name: str) -> str:
    """`name`, or for "auto" the one this CPU is faster in. UsageError for an unknown name."""
    if name == "auto":
        return "bfloat16" if _has_bfloat16() else "float32"
    if name not in PRECISIONS:
        raise unknown_name("precision", name, ("auto", *PRECISIONS))
    return name


def precision_on_gpu(name: str, *, bfloat16: bool) -> str:
    """`name`, or for "auto" and "measured" what a GPU is fast in. bfloat16: whether it has that."""
    if name in ("auto", "measured"):
        return "bfloat16" if bfloat16 else SCALED
    return resolve_precision(name)


@contextmanager
def multiplied_as(name: str) -> Iterator[None]:
    """Within the block oneDNN multiplies float32 in bfloat16 where `name` is that format, else exactly; afterwards as before. Of
    a PyTorch before 2.9 nothing changes."""
    modes = [each for each in (_mode("conv"), _mode("matmul")) if each is not None]
    before = [each.fp32_precision for each in modes]
    try:
        for each in modes:
            each.fp32_precision = "bf16" if name == ONEDNN else "ieee"
        yield
    finally:
        for each, value in zip(modes, before, strict=True):
            each.fp32_precision = value


def has_onednn() -> bool:
    """Whether this PyTorch can be told how oneDNN multiplies."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and _mode("conv") is not None


def _mode(what: str) -> Any:
    """torch.backends.mkldnn.WHAT, https://docs.pytorch.org/docs/stable/notes/mkldnn.html."""
    found = getattr(torch.backends.mkldnn, what, None)
    return found if hasattr(found, "fp32_precision") else None


def _has_bfloat16() -> bool:
    # A PyTorch too old to tell (2.9 is) trains in float32.
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, object])()
    return any(capabilities.get(name) for name in _BFLOAT16_INSTRUCTIONS)
