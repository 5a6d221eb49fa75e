"""The number format that the unfrozen layers are trained in; weights, optimizer and validation are float32 in either.

bfloat16 halves the time of the 1x1 convolutions where the CPU multiplies it in hardware, and slows everything down where it
does not: EfficientNet-Lite0's last three stages learn from 136 images a second with it, from 91 in float32 (batch 32, 2 cores).
"""

import torch

from pocketvision.errors import unknown_name

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def resolve_precision(name: str) -> str:
    """`name`, or for "auto" the one this CPU is faster in. UsageError for an unknown name."""
    if name == "auto":
        return "bfloat16" if _has_bfloat16() else "float32"
    if name not in PRECISIONS:
        raise unknown_name("precision", name, ("auto", *PRECISIONS))
    return name


def _has_bfloat16() -> bool:
    # A PyTorch too old to tell (2.9 is) trains in float32.
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, object])()
    return any(capabilities.get(name) for name in _BFLOAT16_INSTRUCTIONS)
